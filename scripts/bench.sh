#!/usr/bin/env bash
# The one way to measure: Punctual in turn with dpdk-testpmd, with DPDK's multicast sample (its source
# is downloaded as a package and built in target/bench/), with the floor of plain DPDK calls and
# with the two ways of that sample on smaller pools (benches/floor/), on the same devices and CPUs.
# DPDK is linked in, into Punctual, the sample and the floor alike; testpmd is Debian's.
#   scripts/bench.sh --quick            the cases that have a goal, and whether each was reached
#   scripts/bench.sh [--rounds N]       every case
#   scripts/bench.sh --stages           our stages beside DPDK's libraries for the same (benches/rivals/)
#   scripts/bench.sh --profile          instructions by source file (callgrind), nanoseconds by stage (perf)
#   scripts/bench.sh --case 1-4 ...     these alone; --help names them
#   scripts/bench.sh --shared ...       with DPDK as shared libraries instead
# The table is kept as JSON in target/bench/. Where the binaries are built already: PUNCTUAL=FILE, RIVALS=FILE;
# the others are then linked as the first is.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=target/bench
mkdir -p "$tools"
if [[ -z ${PUNCTUAL:-} ]]; then
    scripts/setup.sh
    features=(--features static)
    for argument; do
        [[ $argument != --shared ]] || features=()
    done
    cargo build --release "${features[@]}" --bin punctual
    PUNCTUAL=${CARGO_TARGET_DIR:-target}/release/punctual
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=scripts
for tool in floor load; do
    # The two lists of flags are words.
    # shellcheck disable=SC2046
    cc -std=gnu11 -O3 -Wall -Wextra -Werror $(pkg-config --cflags libdpdk) "benches/floor/$tool.c" \
        -o "$tools/$tool" $(python3 -m measure.linking "$PUNCTUAL")
done
exec python3 -m measure --punctual "$PUNCTUAL" --tools "$tools" "$@"

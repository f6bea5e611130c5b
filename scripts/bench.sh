#!/usr/bin/env bash
# The one way to measure: Punctual in turn with dpdk-testpmd, with DPDK's multicast sample (its source
# is downloaded as a package and built in target/bench/), with the floor of plain DPDK calls and
# with the two ways of that sample on smaller pools (benches/floor/), on the same devices and CPUs.
#   scripts/bench.sh --quick            the cases that have a goal, and whether each was reached
#   scripts/bench.sh [--rounds N]       every case
#   scripts/bench.sh --stages           our stages beside DPDK's libraries for the same (benches/rivals/)
#   scripts/bench.sh --profile          instructions by source file (callgrind), nanoseconds by stage (perf)
#   scripts/bench.sh --case 1-4 ...     these alone; --help names them
# The table is kept as JSON in target/bench/. Where the binaries are built already: PUNCTUAL=FILE,
# RIVALS=FILE.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=target/bench
mkdir -p "$tools"
if [[ -z ${PUNCTUAL:-} ]]; then
    scripts/setup.sh
    cargo build --release --bin punctual
    PUNCTUAL=${CARGO_TARGET_DIR:-target}/release/punctual
fi
for tool in floor load; do
    # The two lists of flags are words.
    # shellcheck disable=SC2046
    cc -std=gnu11 -O3 -Wall -Wextra -Werror $(pkg-config --cflags libdpdk) "benches/floor/$tool.c" \
        -o "$tools/$tool" $(pkg-config --libs libdpdk)
done
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=scripts
exec python3 -m measure --punctual "$PUNCTUAL" --tools "$tools" "$@"

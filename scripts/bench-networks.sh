#!/usr/bin/env bash
# Punctual over interfaces of the kernel against the kernel's own multicast routing (driven by smcroute) and a
# socket relay, over the same veth pairs in one run. Needs root; takes about a quarter of an hour. Options are those of
# scripts/bench_networks.py: --rounds N, --seconds N, --rates 'N N', --fanouts 'N N', --rivals 'NAME NAME', --punctual FILE.
set -euo pipefail
cd "$(dirname "$0")/.."

((EUID == 0)) || {
    echo "bench-networks: network namespaces take root: sudo $0 $*" >&2
    exit 69
}
scripts/setup.sh
command -v smcrouted >/dev/null || {
    echo "bench-networks: smcroute is missing: apt-get install smcroute" >&2
    exit 69
}
punctual=()
[[ " $* " == *" --punctual "* ]] || {
    cargo build --release
    punctual=(--punctual "${CARGO_TARGET_DIR:-target}/release/punctual")
}
cargo build --quiet --release --example network_rival --no-default-features
exec python3 scripts/bench_networks.py "${punctual[@]}" \
    --rival "${CARGO_TARGET_DIR:-target}/release/examples/network_rival" "$@"

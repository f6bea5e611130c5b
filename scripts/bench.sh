#!/usr/bin/env bash
# A first measure of speed: 64-byte frames from memory through the whole way into nothing, to 1, 4
# and 16 outputs, in turn with dpdk-testpmd swapping headers on the same devices and the same CPU.
# Takes about two minutes. Options are those of scripts/bench.py: --rounds N, --seconds N.
# The schedulers alone: cargo bench --no-default-features --bench schedulers
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
cargo build --release
mkdir -p target/bench
cargo run --quiet --example demo_capture -- --bench target/bench/in.pcap
exec python3 scripts/bench.py --punctual "${CARGO_TARGET_DIR:-target}/release/punctual" "$@"

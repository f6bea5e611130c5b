#!/usr/bin/env bash
# Builds Punctual and runs the demo: 0.4 s of captured traffic, from one file into two.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
cargo build --release

out=target/demo
mkdir -p "$out"
cargo run --release --quiet -- run config/demo.toml --stop-after-idle 500ms --report "$out/report.json"

cat <<END

What was sent is in $out/out-a.pcap and $out/out-b.pcap, the report in $out/report.json.
Look at the first copies, with their new VLANs, addresses and ports:

  tcpdump -ennr $out/out-a.pcap -c 20

and at what came in:

  tcpdump -ennr config/demo.pcap -c 20
END

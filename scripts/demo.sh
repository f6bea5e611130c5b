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

# The same configuration under more than its links carry, in virtual time.
cargo run --release --quiet -- simulate config/demo.toml \
  --traffic seed:7 --load 1.5 --duration 100ms --plot "$out/overload.svg"

cat <<END

That was made-up traffic, half as much again as the busiest link can carry. The market data of class high
is on time at every desk that asked for no more than its weighted share; the others share the loss, and
every lost copy has its reason. $out/overload.svg is a picture of it; docs/simulate.md tells what to try next.
END

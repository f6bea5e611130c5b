#!/usr/bin/env bash
# Instructions a packet, counted by callgrind, against benches/instructions.txt: a guard for speed
# that a busy host does not disturb. Status 1: more than 3 % worse, or a promise broken; 77: the
# baseline is another compiler's. UPDATE_BASELINE=1 writes the baseline: say why in the commit.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
exec cargo bench --quiet --no-default-features --bench instructions

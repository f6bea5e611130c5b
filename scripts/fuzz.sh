#!/usr/bin/env bash
# A long campaign of changed bytes against all that reads a stranger's: frames, ARP, ND, IGMP, MLD, ICMP,
# control requests, HTTP heads, configurations, captures.
#   scripts/fuzz.sh [CASES] [SEED]     a million by default, of configurations a hundredth; the seed of today
# What fails is told with what runs it again alone. The test suite runs a short form of the same.
set -euo pipefail
cd "$(dirname "$0")/.."

cases=${1:-1000000}
export PUNCTUAL_FUZZ_SEED=${2:-$(date +%Y%m%d)}
echo "$cases cases of each campaign, seed $PUNCTUAL_FUZZ_SEED"
PUNCTUAL_FUZZ_CASES=$cases cargo test --lib --test wire_parse -- campaign
PUNCTUAL_FUZZ_CASES=$((cases / 100)) cargo test --test config_any_bytes -- campaign

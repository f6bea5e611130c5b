#!/usr/bin/env bash
# Everything that must hold before a commit: format, lints, documentation, tests, each with DPDK and
# without, what depends on how it is linked both ways, and instruction counts. Every step runs,
# whatever the one before it said; the end says what failed, and what was skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
skipped=()

# step NAME COMMAND...: runs it, says how long it took, remembers whether it failed. Status 77 is a
# step that could not be judged here; cargo never ends with it of itself.
step() {
    local name=$1 start=$SECONDS status=0 verdict=ok
    shift
    echo "== $name"
    "$@" 2>&1 | tee -a "$log" || status=$?
    case $status in
        0) ;;
        77) verdict=SKIPPED skipped+=("$name") ;;
        *) verdict=FAILED failed+=("$name") ;;
    esac
    echo "== $name: $verdict, $((SECONDS - start)) s"
}

# A terminal gets colours though there is a pipe between; CARGO_TERM_COLOR decides where it is set.
if [[ -t 1 ]]; then
    export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}
fi

step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets -- -D warnings
step "lints, without DPDK" cargo clippy -p punctual --all-targets --no-default-features -- -D warnings
step "documentation" env RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps
: >"$log"
step "tests, without DPDK" cargo test -p punctual --no-default-features --no-fail-fast
step "tests" cargo test --workspace --no-fail-fast
# What depends on how DPDK is linked. The feature changes two crates, so that only these are built again.
step "tests, DPDK linked in" cargo test --features static --no-fail-fast \
    --test linking --test cli --test run_pcap --test bad_input
step "instruction counts" scripts/instructions.sh

if ((${#skipped[@]} > 0)); then
    printf 'SKIPPED: %s\n' "${skipped[@]}"
fi
# A case that the host cannot run says why: "test NAME ... skipped: no root".
grep -E '^test .* \.\.\. skipped' "$log" || true
if ((${#failed[@]} > 0)); then
    printf 'FAILED: %s\n' "${failed[@]}"
fi
# The sum of cargo's own lines: "test result: ok. 12 passed; 0 failed; ...".
sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    /^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) passed += $(i - 1)
                                                   if ($i ~ /^failed/) failed += $(i - 1)
                                                   if ($i ~ /^skipped/) skipped += $(i - 1) } }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }'
((${#failed[@]} == 0))

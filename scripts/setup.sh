#!/usr/bin/env bash
# Installs what building, testing and the demo need, on Debian 12. Says what and why before it does.
# Asks apt for nothing where nothing is missing.
set -euo pipefail

# Package and why it is needed.
needed=(
    "gcc              compiles the shim over DPDK's inline functions"
    "libc6-dev        headers of the C library"
    "pkg-config       finds DPDK"
    "libclang-dev     reads DPDK's headers for the Rust bindings"
    "libdpdk-dev      DPDK: headers and libraries"
    "dpdk-dev         DPDK: dpdk-testpmd, the yardstick of scripts/bench.sh"
    "libpcap-dev      capture files under DPDK's pcap driver"
    "librte-mempool-ring23  packet buffers"
    "librte-net-pcap23      ports on capture files: the demo and the tests"
    "librte-net-null23      ports on nothing: the bench"
    "librte-net-ring23      ports on rings: the tests"
    "librte-net-memif23     ports on shared memory: the tests"
    "librte-net-af-packet23 ports on kernel interfaces: the tests"
    "librte-net-af-xdp23    ports on kernel interfaces: the tests"
    "iproute2         ip, bridge: networks of the tests"
    "smcroute         the rival of scripts/bench-networks.sh"
    "ethtool          checksum offload of interfaces: the tests"
    "iputils-ping     ping: the tests"
    "strace           has the kernel refuse: the tests"
    "valgrind         counts instructions: scripts/instructions.sh"
    "tcpdump          reads what the demo sent, and what the tests say of groups"
)

fail() {
    echo "setup: $*" >&2
    exit 69
}

if ! command -v dpkg-query >/dev/null; then
    pkg-config --atleast-version=22.11 libdpdk 2>/dev/null ||
        fail "not a Debian system; install DPDK 22.11 with its pcap, null, ring, memif, af_packet and af_xdp drivers," \
            "libclang, a C compiler and pkg-config"
    exit 0
fi

missing=()
for line in "${needed[@]}"; do
    package=${line%% *}
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$package")
done

if ((${#missing[@]} > 0)); then
    echo "setup: to be installed with apt-get:"
    for line in "${needed[@]}"; do
        for package in "${missing[@]}"; do
            [[ ${line%% *} != "$package" ]] || echo "  $line"
        done
    done
    as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            fail "neither root nor sudo; run as root: apt-get install -y --no-install-recommends ${missing[*]}"
        as_root=(sudo)
    fi
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -y -q --no-install-recommends "${missing[@]}")
    # The package lists may be absent, as in a container, or so old that a download fails.
    if ! apt-cache show "${missing[@]}" >/dev/null 2>&1 || ! "${install[@]}"; then
        "${as_root[@]}" apt-get update -q
        "${install[@]}" || fail "apt-get could not install them (the names are Debian 12's)"
    fi
fi

command -v cargo >/dev/null ||
    fail "cargo is missing: Rust 1.88 or later, from https://rustup.rs (Debian 12's own is too old)"

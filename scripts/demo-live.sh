#!/usr/bin/env bash
# Punctual between two networks of the kernel, on one machine: a source that sends 5,000 datagrams a second, a
# relay on interfaces that stay the kernel's, and desks that count what they get. Meanwhile the relay reloads, a
# desk is killed, and one comes late. On a terminal `punctual top` shows it; elsewhere its text is printed.
#
#   sudo scripts/demo-live.sh [af_xdp|af_packet]
#
# All in network namespaces of its own, which are removed at the end. PUNCTUAL=FILE takes a binary that is built.
set -euo pipefail
cd "$(dirname "$0")/.."

driver=${1:-af_xdp}
((EUID == 0)) || {
    echo "demo-live: network namespaces take root: sudo $0 $*" >&2
    exit 69
}
if [[ -z ${PUNCTUAL:-} ]]; then
    scripts/setup.sh
    cargo build --release
    PUNCTUAL=${CARGO_TARGET_DIR:-target}/release/punctual
fi
name=demo-live-$$
here=$(mktemp -d)
started=()
desks=(1 2 3)

finish() {
    for process in "${started[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    for space in source relay "${desks[@]/#/desk}"; do
        ip netns del "$name-$space" 2>/dev/null || true
    done
    rm -rf "$here"
}
trap finish EXIT

# A namespace with a veth pair to the relay, and an address.
network() {
    local space=$1 port=$2 address=$3
    ip netns add "$name-$space"
    ip -n "$name-relay" link add name "$port" type veth peer name eth0 netns "$name-$space"
    ip -n "$name-relay" link set "$port" up
    ip -n "$name-$space" link set eth0 up
    ip -n "$name-$space" address add "$address/24" dev eth0
}

ip netns add "$name-relay"
network source in 10.0.0.1
for desk in "${desks[@]}"; do
    network "desk$desk" "out$desk" "10.1.$desk.2"
done

# The configuration; desks 1 and 2 at first.
configure() {
    cat <<END
schema = 1
idle = "adaptive"
[instance]
name = "$name"
[eal]
memory = "no-huge"
[memory]
packets = 32768
headers = 8192
[[port]]
name = "in"
device = "in"
driver = "$driver"
rx_checksum = "complete"     # the source is a kernel of this host
END
    for desk in "${desks[@]}"; do
        printf '[[port]]\nname = "out%s"\ndevice = "out%s"\ndriver = "%s"\n' "$desk" "$desk" "$driver"
        printf '[[receiver]]\nname = "desk-%s"\nport = "out%s"\n' "$desk" "$desk"
    done
    echo '[[rule]]'
    echo 'name = "prices"'
    echo 'class = "high"'
    echo 'input = { port = "in", destination = "239.1.0.1", udp_port = 5000 }'
    echo 'output = ['
    for desk in "$@"; do
        echo "  { receiver = \"desk-$desk\", destination = \"239.101.0.$desk\" },"
    done
    echo ']'
}

cat >"$here/send.py" <<'END'
import socket, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.0.1"))
start, sent = time.monotonic(), 0
while True:
    while sent < (time.monotonic() - start) * 5000:
        out.sendto(sent.to_bytes(8, "big") * 16, ("239.1.0.1", 5000))
        sent += 1
    time.sleep(0.001)
END
cat >"$here/desk.py" <<'END'
import signal, socket, sys
desk, file = sys.argv[1:]
group, own = f"239.101.0.{desk}", f"10.1.{desk}.2"
at = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
at.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
at.bind((group, 5000))
at.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(own))
count, missing, first, last = 0, 0, None, None
def end(*_):
    with open(file, "w") as out:
        out.write(f"{count:,} datagrams, the first {first:,}, the last {last:,}, {missing} missing between\n"
                  if count else "nothing\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
while True:
    number = int.from_bytes(at.recv(2048)[:8], "big")
    missing += 0 if last is None else number - last - 1
    first = number if first is None else first
    count, last = count + 1, number
END

declare -A process
desk() {
    ip netns exec "$name-desk$1" python3 "$here/desk.py" "$1" "$here/desk$1" &
    process[$1]=$!
    started+=($!)
}

tell() {
    printf '\n== %s\n' "$*"
}

# While `top` has the terminal, it is kept for afterwards.
say() {
    if [[ -t 1 ]]; then tell "$*" >>"$here/said"; else tell "$*"; fi
}

# What happens, a while apart. Where there is no terminal, each is followed by what `top` would show.
story() {
    local pause=4
    look() {
        sleep "$pause"
        [[ -t 1 ]] || "$PUNCTUAL" show outputs --instance "$name"
    }
    say "desks 1 and 2 get 5,000 datagrams a second"
    look
    configure 1 2 3 >"$here/live.toml"
    say "a reload under traffic: desk 3 is added, and nobody listens there yet"
    "$PUNCTUAL" reload --instance "$name" >"$here/reload" 2>&1
    look
    kill "${process[2]}"
    say "desk 2 is killed"
    look
    desk 3
    say "desk 3 comes late"
    look
    "$PUNCTUAL" show ports --instance "$name" >"$here/ports"
    # In this order: what is on its way still arrives.
    kill "${process[source]}"
    sleep 0.5
    kill "${process[1]}" "${process[3]}"
    wait "${process[3]}" 2>/dev/null || true
}

configure 1 2 >"$here/live.toml"
ip netns exec "$name-relay" "$PUNCTUAL" run "$here/live.toml" >"$here/run" 2>"$here/log" &
process[relay]=$!
started+=($!)
for ((tries = 0; ; tries++)); do
    "$PUNCTUAL" show ledger --instance "$name" >/dev/null 2>&1 && break
    if ((tries == 100)) || ! kill -0 "${process[relay]}" 2>/dev/null; then
        cat "$here/log" >&2
        exit 69
    fi
    sleep 0.2
done
desk 1
desk 2
sleep 1
ip netns exec "$name-source" python3 "$here/send.py" &
process[source]=$!
started+=($!)

if [[ -t 1 ]]; then
    "$PUNCTUAL" top --instance "$name" </dev/tty &
    top=$!
    story
    kill "$top" 2>/dev/null || true
    wait "$top" 2>/dev/null || true
    cat "$here/said"
else
    story
fi
kill "${process[relay]}"
wait "${process[relay]}" || true

tell "the ports were"
cat "$here/ports"
tell "the relay's last words"
cat "$here/run"
tell "the desks got"
for desk in "${desks[@]}"; do
    printf 'desk %s: %s' "$desk" "$(cat "$here/desk$desk" 2>/dev/null || echo nothing)"
    echo
done
grep -q 'residual 0' "$here/run"
for desk in 1 3; do
    grep -q ', 0 missing between' "$here/desk$desk"
done

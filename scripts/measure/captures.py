"""Captures that a bench plays from memory: plain IPv4 UDP frames, the same bytes every time."""

import pathlib
import random
import struct

HEADERS = 14 + 20 + 8
FCS = 4
GROUP = 239 << 24 | 1 << 16  # 239.1.0.0
SOURCE = 10 << 24  # 10.0.0.0


def checksum(words):
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(size, destination, source, udp_port):
    """`size` is with the FCS, which is not in the bytes."""
    length = size - FCS - 14
    mac = b"\x01\x00\x5e" + (destination & 0x7FFFFF).to_bytes(3, "big")
    ethernet = mac + bytes([2, 0, 0, 0, 0, 9]) + b"\x08\x00"
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, length, 0, 0, 16, 17, 0, source, destination)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    # The payload is zeros, which add nothing to a sum: those of the addresses, the protocol and the
    # ports are all there is. Without a checksum testpmd's csum would not compute one either.
    ports = struct.pack("!HHH", 4000, udp_port, length - 20)
    pseudo = struct.pack("!IIHH", source, destination, 17, length - 20)
    udp = ports + struct.pack("!H", checksum(pseudo + ports) or 0xFFFF)
    return ethernet + ip + udp + bytes(length - 28)


def write(path, frames):
    """A pcap file; it is made once."""
    path = pathlib.Path(path)
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, data in enumerate(frames):
            out.write(struct.pack("<IIII", 1_767_623_400, number % 1_000_000, len(data), len(data)))
            out.write(data)
    unfinished.rename(path)
    return path


def groups(here, size, count, distinct=None, ports=1):
    """`count` frames over `distinct` rows (all by default), `ports` UDP ports for each group, in a
    shuffled order."""
    distinct = distinct or count
    rows = [(GROUP + i // ports, 5000 + i % ports) for i in range(distinct)]
    order = [rows[i % distinct] for i in range(count)]
    random.Random(1).shuffle(order)
    name = here / f"groups-{size}-{count}-{distinct}-{ports}-summed.pcap"
    return write(name, (frame(size, group, SOURCE + 1, port) for group, port in order))


def sources(here, count, distinct):
    """`count` 64-byte frames to one group from `distinct` senders, in a shuffled order."""
    order = [SOURCE + 1 + i % distinct for i in range(count)]
    random.Random(1).shuffle(order)
    name = here / f"sources-{count}-{distinct}-summed.pcap"
    return write(name, (frame(64, GROUP, source, 5000) for source in order))


def one_group(here, size, count, destination):
    """`count` frames to one group."""
    name = here / f"group-{size}-{count}-{destination:08x}-summed.pcap"
    return write(name, (frame(size, destination, SOURCE + 1, 5000) for _ in range(count)))

"""Into rings and out again: each output is a port of a ring of its own (net_ring), which brings back what it was
sent, and the same worker reads it back and frees it. So one core pays for both ends, as where the reader is
a stage of the same pipeline, and no ring ever runs full.

Punctual frees what comes back as a copy of its own: a copy that went round is no rule's to relay. testpmd io frees it
by sending it to the port that plays the capture, which sends nowhere. The floor frees it at once."""

from .programs import Floor, Punctual, Testpmd

# One of its 16 queues is enough.
KEYS = "rx_queues = 1\n"
PORT = """\
[[port]]
name = "ring{number}"
device = "net_ring{number}"
{keys}mtu = {mtu}
"""


class Rings(Punctual):
    """What it reads back is not counted as received."""

    def received(self, found):
        return next(port["received"] for port in found["ports"] if port["name"] == "in")


def programs(bench, label, source, copies):
    """Punctual and its peers, one of them for one copy alone."""
    devices = [f"net_ring{number}" for number in range(copies)]
    ports = ["out", *(f"ring{number}" for number in range(1, copies))]
    text = "".join(PORT.format(number=number, keys=KEYS, mtu=source.mtu) for number in range(1, copies))
    outputs = "".join(
        f'  {{ port = "{port}", destination = "239.{100 + i}.0.0/24" }},\n' for i, port in enumerate(ports)
    )
    text += ('[[rule]]\nname = "all"\ninput = { port = "in", destination = "239.1.0.0/24", udp_port = 5000 }\n'
             f"output = [\n{outputs}]\n")
    ours = Rings(bench, f"{label} punctual", source, text, tx=devices[0], tx_keys=KEYS)
    ours.label = "punctual"
    peers = [Floor(bench, "floor", "floor", source, copies, devices, drains=True)]
    if copies == 1:
        peers.append(Testpmd(bench, "io", "io", source, tx=devices[0], counted=1))
    return [ours, *peers]

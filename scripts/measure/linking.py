"""How the C programs beside Punctual get DPDK: as Punctual itself, so that like is compared with like.

`python3 -m measure.linking PUNCTUAL` prints the words for the linker."""

import shlex
import sys

from . import host


def of(punctual):
    """`static` or `shared`, as the program says itself."""
    said = host.run([punctual, "--version"]).stdout
    return "static" if said.rstrip().endswith(", static)") else "shared"


def is_there(word):
    """Whether the linker finds what a word names: of the libraries that archives of the system would need,
    Debian has not all, and shared ones need none of them."""
    if not word.startswith("-l") or word.startswith("-l:"):
        return word != "-Wl,--export-dynamic"
    name = f"lib{word[2:]}.so"
    return not word.startswith("-lrte_") and "/" in host.run(["cc", f"-print-file-name={name}"]).stdout


def words(linking):
    """What the linker is told of DPDK."""
    if linking == "shared":
        return shlex.split(host.run(["pkg-config", "--libs", "libdpdk"]).stdout)
    said = shlex.split(host.run(["pkg-config", "--static", "--libs", "libdpdk"]).stdout)
    known = {word: is_there(word) for word in set(said)}
    return ["-Wl,--gc-sections", *(word for word in said if known[word])]


if __name__ == "__main__":
    print(*words(of(sys.argv[1])))

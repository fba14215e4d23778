"""Peak memory of forward and backward: with growing depth, and of a large circuit. Each in a process of its own."""

from collections.abc import Collection

from probe import probe
from progress import reason, say

TARGET_LARGE_MIB = 2048


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``memory``: rows with their sizes, memory in MiB, and seconds."""
    deep = [{"circuits": 10, "qubits": 10, "layers": layers, "batch": 64} for layers in (6, 60, 600)]
    large = {"circuits": 1, "qubits": 20, "layers": 20, "batch": 4}
    if tiny:
        deep = [{"circuits": 2, "qubits": 4, "layers": layers, "batch": 4} for layers in (2, 20)]
        large = {"circuits": 1, "qubits": 12, "layers": 4, "batch": 4}
    return {
        "depth": [_row(sizes) for sizes in deep],
        "large": _row(large) | {"target_mib": TARGET_LARGE_MIB},
    }


def _row(sizes: dict[str, int]) -> dict:
    try:
        row = sizes | probe(**sizes)
    except Exception as error:  # killed for memory, say: the other rows are still wanted
        row = sizes | {"missing": reason(error)}
    say(f"memory {sizes}: {row.get('missing') or '{:.0f} MiB'.format(row['mib']['step'])}")
    return row

"""How time and memory of a step grow with qubits, layers, batch and sub-generators: one varied, the others at a base point.

Each point is a process of its own. Exponents are slopes of least squares through the upper half of each range, where fixed
costs no longer count: log2 of the figure against log2 of the factor, and against the plain number for qubits (so 1 means
doubling with each qubit, as the number of amplitudes does).
"""

from collections.abc import Collection

import numpy as np
from probe import probe
from progress import reason, say

BASE = {"circuits": 4, "qubits": 12, "layers": 6, "batch": 8}
RANGES = {
    "qubits": [4, 6, 8, 10, 12, 14, 16, 18, 20],
    "layers": [1, 3, 6, 12, 24, 48, 96],
    "batch": [1, 4, 8, 16, 32, 64, 128, 256, 512],
    "circuits": [1, 2, 4, 8, 16, 32, 64],
}
TINY_RANGES = {"qubits": [2, 4, 12], "layers": [2, 6], "batch": [2, 8], "circuits": [1, 4]}


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``growth``: the base point, points and exponents by factor."""
    points: dict[tuple, dict] = {}
    factors = {}
    for factor, values in (TINY_RANGES if tiny else RANGES).items():
        rows = []
        for value in values:
            sizes = BASE | {factor: value}
            key = tuple(sizes.items())
            if key not in points:
                points[key] = _point(sizes)
                say(f"growth, {value} {factor}: {_in_words(points[key])}")
            rows.append({"value": value} | points[key])
        factors[factor] = {"points": rows, "exponents": _exponents(factor, rows)}
    return {"base": BASE, "factors": factors}


def _point(sizes: dict[str, int]) -> dict:
    try:
        result = probe(**sizes)
    except Exception as error:  # as in memory
        return {"missing": reason(error)}
    return {
        "seconds": result["seconds"],
        "step_mib": result["mib"]["step"],
        "engine_bytes_per_instance": result["engine_bytes_per_instance"],
    }


def _in_words(point: dict) -> str:
    return point.get("missing") or f"{point['seconds']:.4f} s, {point['step_mib']:.1f} MiB"


def _exponents(factor: str, rows: list[dict]) -> dict[str, float | None]:
    """Return the slopes of seconds and memory over the upper half of the measured points; None for fewer than two."""
    measured = [row for row in rows if "missing" not in row]
    upper = measured[len(measured) // 2 :]
    if len(upper) < 2:
        return {"seconds": None, "step_mib": None}
    x = np.array([row["value"] for row in upper], float)
    x = x if factor == "qubits" else np.log2(x)
    return {
        # A step too small to be seen in resident memory counts as one page.
        quantity: float(np.polyfit(x, np.log2([max(row[quantity], 1 / 256) for row in upper]), 1)[0])
        for quantity in ("seconds", "step_mib")
    }

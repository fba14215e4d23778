"""Simulators against ours on one step: time, ratio to ours beside it, and whether they compute the same numbers."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from case import Case
from peers import Peer, ours
from progress import reason, say
from timing import Timing, beside, first_call, measure


def compare(case: Case, peers: Sequence[Peer], skip: Collection[str]) -> tuple[Callable[[], Timing], dict]:
    """Measure every peer, each between two runs of ours.

    Returns:
        The timer of our step, for further neighbors, and figures: ``ours`` (row) and ``peers`` (rows by key). A row of a peer
        that could not be measured holds its reason as ``missing``.
    """
    step = ours.prepare(case)
    first_seconds = first_call(step)
    alone = measure(step)
    say(f"ours: {alone.seconds:.4f} s")

    def timer() -> Timing:
        return measure(step, budget=1.0)

    rows = {peer.key: _row(case, peer, timer, skip) for peer in peers}
    measured = [row["ours_seconds"] for row in rows.values() if "missing" not in row]
    figures = {
        "ours": {
            "seconds": float(np.median([alone.seconds, *measured])),
            "first_call_seconds": first_seconds,
            # Ours has nobody to agree with but itself in double precision.
            "differences": differences(alone.result, ours.prepare(case.double())()),
        },
        "peers": rows,
    }
    return timer, figures


def _row(case: Case, peer: Peer, timer: Callable[[], Timing], skip: Collection[str]) -> dict:
    """Return one peer's row; whatever it raises becomes the reason for its absence."""
    row = {"name": peer.name, "precision": peer.precision, "target": peer.target}
    if peer.key in skip:
        say(f"{peer.key}: left out by --skip")
        return row | {"missing": "left out by --skip"}
    part = case.part(peer.images, peer.circuits)
    try:
        call = peer.prepare(part)
        first_seconds = first_call(call)
        pair = beside(timer, lambda: measure(call))
        gaps = differences(pair.rival.result, ours.prepare(part)())
    except Exception as error:  # a peer may fail in any way; the others are still wanted
        say(f"{peer.key}: {reason(error)}")
        return row | {"missing": reason(error)}
    scale = case.batch / part.batch * case.circuits / part.circuits
    seconds = scale * pair.rival.seconds
    say(f"{peer.key}: {seconds:.3g} s, {seconds / pair.ours:.3g}x")
    return row | {
        "measured": _measured(case, part),
        "seconds": seconds,
        "ours_seconds": pair.ours,
        "ratio": seconds / pair.ours,
        "first_call_seconds": first_seconds,
        "runs": pair.rival.runs,
        "differences": gaps,
    }


def _measured(case: Case, part: Case) -> str:
    """Return which part of the step was measured, in words."""
    if (part.batch, part.circuits) == (case.batch, case.circuits):
        return "all"
    images = "all images" if part.batch == case.batch else f"{part.batch} of {case.batch} images"
    return f"{images}, {part.circuits} of {case.circuits} circuits"


def differences(one: tuple, other: tuple) -> dict[str, float]:
    """Return the largest absolute differences of two steps: expectations, gradients by angles, gradients by weights."""
    names = ("values", "by_angles", "by_weights")
    return {name: float(np.abs(_flat(a) - _flat(b)).max()) for name, a, b in zip(names, one, other, strict=True)}


def _flat(result) -> np.ndarray:
    """Return a tensor, an array of JAX, or a list of tensors as one flat array in double precision."""
    parts = result if isinstance(result, list) else [result]
    return np.concatenate([np.asarray(p.detach() if hasattr(p, "detach") else p, np.float64).ravel() for p in parts])

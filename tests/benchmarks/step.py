"""The step of HybridQ's generator on every simulator, beside what the processor's own matrix product would take.

The step: 10 sub-generators x 10 qubits x 6 layers (RY angle encoding; RY and a CX ladder per layer; <Z> of each qubit), batch
64, forward, and backward to inputs and weights.
"""

from collections.abc import Callable, Collection

import torch
from case import Case, Form, make_case
from compare import compare
from peers import STEP_PEERS, connectors, stock
from progress import reason, say
from timing import Timing, beside, first_call, measure

# One RY on a real amplitude is 3 operations; forward, undoing on the state and on the cotangent make 9, and one for the
# derivative by its angle. 10 x 60 gates x 1,024 amplitudes x 640 states are 0.39 GFLOP.
FLOP_PER_GATE_AND_AMPLITUDE = 10
TARGET_SECONDS = 0.003
TARGET_OVER_BOUND = 2
TARGET_BACKWARD = 500


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``step``."""
    form, circuits, batch = (Form(3, 2), 2, 10) if tiny else (Form(10, 6), 10, 64)
    case = make_case(form, circuits, batch)
    timer, figures = compare(case, STEP_PEERS, skip)
    return figures | {
        "sizes": {"circuits": circuits, "qubits": form.qubits, "layers": form.layers, "batch": batch},
        "target_seconds": TARGET_SECONDS,
        "bound": flop_bound(case, timer),
        "backward": backward(case, skip),
    }


def flop_bound(case: Case, timer: Callable[[], Timing]) -> dict:
    """Compare ours with the gate-by-gate operations of the step at the rate of a single-precision matrix product."""
    a, b, out = (torch.rand(2048, 2048) for _ in range(3))
    first_call(lambda: torch.mm(a, b, out=out))
    pair = beside(timer, lambda: measure(lambda: torch.mm(a, b, out=out)))
    rate = 2 * 2048**3 / pair.rival.seconds
    gates, amplitudes = case.weights_PK.shape[1], 1 << case.form.qubits
    flop = FLOP_PER_GATE_AND_AMPLITUDE * gates * amplitudes * case.batch * case.circuits
    ratio = pair.ours / (flop / rate)
    say(f"sgemm: {rate / 1e9:.0f} GFLOP/s; ours is {ratio:.2f}x the bound")
    return {
        "sgemm_gflops": rate / 1e9,
        "step_gflop": flop / 1e9,
        "seconds": flop / rate,
        "ours_seconds": pair.ours,
        "ratio": ratio,
        "target": TARGET_OVER_BOUND,
    }


def backward(case: Case, skip: Collection[str]) -> dict:
    """Compare the backward passes alone of ``EstimatorQNN`` + ``TorchConnector``: on our estimator, and stock, per image."""
    if {"stock", "connectors"} & set(skip):
        return {"missing": "left out by --skip"}
    fast, slow = connectors.prepare(case.part(None, 1)), stock.prepare(case.part(1, 1))
    try:
        first_call(fast), first_call(slow)
        pair = beside(
            lambda: measure(fast.backward, before_each=fast.forward),
            lambda: measure(slow.backward, before_each=slow.forward),
        )
    except Exception as error:  # as in compare
        return {"missing": reason(error)}
    ratio = pair.rival.seconds * case.batch / pair.ours
    say(f"backward of connectors: {ratio:.0f}x faster on ExactEstimator than stock")
    return {
        "exact_seconds": pair.ours * case.circuits,
        "stock_seconds": pair.rival.seconds * case.batch * case.circuits,
        "ratio": ratio,
        "target": TARGET_BACKWARD,
    }

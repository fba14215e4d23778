"""A step in the shape of MediQ-GAN, against PennyLane's compiled simulator.

The step: 5 circuits x 16 qubits x depth 8 (RY and RX of the same angle per qubit; RY and a CZ ladder per layer; <X> of each
qubit), batch 10, forward, and backward to inputs and weights. The state is complex here.
"""

from collections.abc import Collection

from case import Form, make_case
from compare import compare
from peers import MEDIQ_PEERS


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``mediq``."""
    qubits, layers, circuits, batch = (4, 2, 2, 3) if tiny else (16, 8, 5, 10)
    form = Form(qubits, layers, encoding="ry_rx", entangler="cz", readout="x")
    _, figures = compare(make_case(form, circuits, batch), MEDIQ_PEERS, skip)
    return figures | {"sizes": {"circuits": circuits, "qubits": qubits, "layers": layers, "batch": batch}}

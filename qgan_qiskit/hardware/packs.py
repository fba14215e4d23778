"""Sub-generators shared out to circuits for a device: as many on one chip as are asked for and fit.

Shape letters: P sub-generators · K weights of one sub-generator.
"""

from __future__ import annotations

import numpy as np
from qiskit.transpiler import Target

from qgan_qiskit.circuits import Ansatz
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.chip import Chip
from qgan_qiskit.hardware.interactions import Interactions
from qgan_qiskit.hardware.isa import PackedCircuit, pack
from qgan_qiskit.hardware.placement import Placement, place


def packed(ansatz: Ansatz, weights_PK: np.ndarray, target: Target, most: int | None) -> list[PackedCircuit]:
    """Return the circuits that run all sub-generators, each of up to ``most`` of them side by side.

    Args:
        ansatz: the circuit of each.
        weights_PK: their weights, radians.
        target: the device.
        most: sub-generators on a chip; None for as many as there are.

    Raises:
        CircuitError: the circuit fits nowhere on the device without swaps.
    """
    placement = placed(ansatz, target, min(most or len(weights_PK), len(weights_PK)))
    places = placement.places
    blocks = [
        range(start, min(start + len(places), len(weights_PK))) for start in range(0, len(weights_PK), len(places))
    ]
    return [pack(ansatz, weights_PK, block, places[: len(block)], target) for block in blocks]


def placed(ansatz: Ansatz, target: Target, count: int) -> Placement:
    """Return places for up to ``count`` sub-generators on a device.

    Raises:
        CircuitError: there is none.
    """
    interactions = Interactions.of(ansatz.circuit)
    placement = place(Chip.of(target), interactions, count)
    if not placement.places:
        raise CircuitError(
            f"{ansatz.name}: {ansatz.num_qubits} qubits with these two-qubit gates fit nowhere on the {target.num_qubits} "
            "qubits of the device without swaps; take another device or a circuit whose qubits meet in a chain"
        )
    return placement

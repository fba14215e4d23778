"""How many times the shots probabilistic error cancellation takes, from the calibration of the day.

To cancel the errors of a layer, PEC draws circuits with signs. The scatter grows by gamma = exp(2 sum of rates), so the shots by
gamma squared (van den Berg et al., Nature Physics 19, 1116, 2023). For all layers of a circuit these factors multiply, and with
them those of sub-generators that share the circuit, although they share no gate.
"""

from __future__ import annotations

import math

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target


def pec_overhead(circuit: QuantumCircuit, target: Target) -> float:
    """Return gamma squared of a circuit whose two-qubit gates depolarise by their calibrated error.

    A depolarising channel of average infidelity r shrinks every Pauli by f = 1 - 4r/3; its fifteen rates are -ln(f)/16 each, so
    that gamma squared of a gate is f^(-15/4). What else the learned noise holds (waiting, cross-talk, one-qubit gates) comes on
    top.

    Args:
        circuit: in the device's gates, on all its qubits.
        target: the device.

    Returns:
        At least 1; infinite where a gate does not work.
    """
    logarithm = 0.0
    for instruction in circuit.data:
        if instruction.operation.num_qubits == 2:
            places = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
            properties = target[instruction.operation.name][places]
            kept = 1 - 4 * ((properties.error if properties else None) or 0.0) / 3
            logarithm += math.inf if kept <= 0 else -15 * math.log(kept) / 4
    return math.exp(min(logarithm, 700.0)) if math.isfinite(logarithm) else math.inf

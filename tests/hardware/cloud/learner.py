"""The program ``noise-learner`` (schema v0.3): what it would learn if it made no mistake.

The chip's errors are depolarizing channels of the calibrated size after its gates (``simulate``), so the noise of a layer can be
written down: that of its two-qubit gates, and before them that of the two SX gates on each of its qubits that twirling is made
of, carried through the gates. A mock device answers with small rates that mean nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import product
from math import log
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qiskit.circuit import CircuitInstruction
    from qiskit.quantum_info import PauliLindbladMap

    from .devices import Device

# Circuits that measure all two-qubit Paulis of a layer at once.
_BASES = 9
_MOCK_RATE = 1e-3
# A Pauli and the places in the layer's qubits, rising, that it acts on.
Term = tuple[str, tuple[int, ...]]


class NotIsaError(Exception):
    """The device cannot run a layer."""


def learn(params: str, device: Device, noise: bool) -> tuple[str, int, int]:
    """Return the result as the client reads it, the number of circuits and of executions.

    Args:
        params: the program's inputs, as JSON.
        device: whose noise.
        noise: whether it has any.

    Raises:
        NotIsaError: see there.
    """
    from ibm_quantum_schemas.common import F64TensorModel
    from ibm_quantum_schemas.noise_learner_v3.version_0_3 import NoiseLearnerV3ResultsModel, ParamsModel
    from qiskit_ibm_runtime.noise_learner_v3.converters.version_0_3 import noise_learner_v3_inputs_from_0_3

    assert json.loads(params)["version"] == 3
    layers, options = noise_learner_v3_inputs_from_0_3(ParamsModel.model_validate_json(params))
    metadata = {"learning_protocol": "lindblad", "post_selection": {"fraction_kept": {}, "success_rates": {}}}
    data = []
    for layer in layers:
        rates = _rates(layer, device, noise)
        values = np.array(list(rates.values()))
        data.append(
            {
                "generators_sparse": [[(paulis, list(places))] for paulis, places in rates],
                "num_qubits": len(layer.qubits),
                "rates": F64TensorModel.from_numpy(values),
                "rates_std": F64TensorModel.from_numpy(np.zeros_like(values)),
                "metadata": metadata,
            }
        )
    circuits = len(layers) * len(options.layer_pair_depths) * _BASES * options.num_randomizations
    return NoiseLearnerV3ResultsModel(data=data).model_dump_json(), circuits, circuits * options.shots_per_randomization


def true_map(layer: CircuitInstruction, device: Device, noise: bool) -> PauliLindbladMap:
    """Return the noise of one layer."""
    from qiskit.quantum_info import PauliLindbladMap

    terms = [(paulis, list(places), rate) for (paulis, places), rate in _rates(layer, device, noise).items()]
    return PauliLindbladMap.from_sparse_list(terms, len(layer.qubits))


def _rates(layer: CircuitInstruction, device: Device, noise: bool) -> dict[Term, float]:
    """Return the rate of each Pauli after the layer, its qubits in the order of the device."""
    physical = [qubit._index for qubit in layer.qubits]
    place = {qubit: position for position, qubit in enumerate(sorted(physical))}
    body = layer.operation.body
    gates = []
    for item in body.data:
        qubits = tuple(physical[body.find_bit(qubit).index] for qubit in item.qubits)
        if objection := device.objection(item.name, qubits):
            raise NotIsaError(objection)
        gates.append((item.operation, qubits))
    if device.mock:
        return {(pauli, (position,)): _MOCK_RATE for position in place.values() for pauli in "XYZ"}
    rates: Counter[Term] = Counter()
    partner = {qubit: gate for gate in gates for qubit in gate[1]}
    for qubit in physical:
        rate = 2 * _rate(device.gate_errors.get(("sx", (qubit,)), 0.0) if noise else 0.0, 1)
        for pauli in "XYZ":
            rates[_carried(pauli, qubit, partner.get(qubit), place)] += rate
    for operation, qubits in gates:
        rate = _rate(device.gate_errors.get((operation.name, qubits), 0.0) if noise else 0.0, 2)
        for paulis in product("IXYZ", repeat=2):
            if paulis != ("I", "I"):
                rates[_term(zip(paulis, qubits, strict=True), place)] += rate
    return dict(rates)


def _rate(infidelity: float, num_qubits: int) -> float:
    """Return the rate of each of the Paulis of a depolarizing channel, which half of them and the identity commute with."""
    size = 2**num_qubits
    return -log(1 - infidelity * size / (size - 1)) / size**2


def _carried(pauli: str, qubit: int, gate: tuple | None, place: dict[int, int]) -> Term:
    """Return what a Pauli before the layer's gates is after them, but for its sign."""
    from qiskit.quantum_info import Pauli

    if gate is None:
        return _term([(pauli, qubit)], place)
    operation, qubits = gate
    label = "".join(pauli if other == qubit else "I" for other in reversed(qubits))
    after = Pauli(label).evolve(operation, frame="s").to_label().lstrip("-i")
    return _term(zip(reversed(after), qubits, strict=True), place)


def _term(paulis: Iterable[tuple[str, int]], place: dict[int, int]) -> Term:
    acting = sorted((place[qubit], pauli) for pauli, qubit in paulis if pauli != "I")
    return "".join(pauli for _, pauli in acting), tuple(position for position, _ in acting)

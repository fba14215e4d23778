"""What was learned of the noise of layers of gates: Pauli-Lindblad maps, checked when they arrive, as JSON on the disk.

In this model the error of a layer is a product of channels, one for each Pauli: with probability (1 - exp(-2 rate)) / 2 that
Pauli acts (van den Berg et al., Nature Physics 19, 1116, 2023).

Layers of two-qubit gates, whose noise is learned once and then used by every job: found, and found again.

IBM's client calls a layer by a short hash that depends on the layers that the process has seen before. So a layer is kept by what
it consists of, and found again by that, in whatever process and order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.providers import BackendV2
from qiskit.quantum_info import PauliLindbladMap
from qiskit_ibm_runtime.executor_estimator import Estimator
from samplomatic.annotations import Twirl
from samplomatic.utils import get_annotation

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import CircuitError, RemoteError
from qgan_qiskit.hardware.ibm.options import estimator_options
from qgan_qiskit.hardware.packing import PackedCircuit


def check(maps: Sequence[PauliLindbladMap], layers: Sequence[Layer], source: str) -> None:
    """Refuse what cannot be the noise of these layers.

    Args:
        maps: one for each layer, Paulis on its qubits in rising order.
        layers: whose noise it should be.
        source: whose answer it is, for the message.

    Raises:
        RemoteError: another number of layers or qubits, or rates that are not finite.
    """
    if len(maps) != len(layers):
        raise RemoteError(f"{source}: the noise of {len(maps)} layers instead of {len(layers)}; collect again")
    for number, (one, layer) in enumerate(zip(maps, layers, strict=True)):
        if one.num_qubits != len(layer.qubits):
            raise RemoteError(
                f"{source}: the noise of layer {number} is on {one.num_qubits} qubits instead of {len(layer.qubits)}; "
                "collect again"
            )
        if not np.isfinite(one.rates).all():
            raise RemoteError(f"{source}: rates of layer {number} are not finite; collect again")


def to_json(maps: Sequence[PauliLindbladMap], layers: Sequence[Layer]) -> str:
    """Return layers with Paulis, the qubits they act on (numbers within the layer's qubits) and rates."""
    content = [
        {
            **layer.to_json(),
            "generators": [[paulis, list(places), rate] for paulis, places, rate in one.to_sparse_list()],
        }
        for one, layer in zip(maps, layers, strict=True)
    ]
    return json.dumps({"format": 1, "layers": content}) + "\n"


def from_json(text: str) -> dict[Layer, PauliLindbladMap]:
    """Return what :func:`to_json` wrote, by layer.

    Raises:
        ValueError: the text is something else; or KeyError, TypeError.
    """
    learned = {}
    for content in json.loads(text)["layers"]:
        terms = [(paulis, places, float(rate)) for paulis, places, rate in content["generators"]]
        learned[Layer.from_json(content)] = PauliLindbladMap.from_sparse_list(terms, len(content["qubits"]))
    return learned


@dataclass(frozen=True)
class Layer:
    """What a layer consists of.

    Attributes:
        qubits: of the device, rising: those of the gates, and those that are twirled with them.
        gates: name, qubits and parameters of each, sorted.
        twirl: how it is twirled.
    """

    qubits: tuple[int, ...]
    gates: tuple[tuple[str, tuple[int, ...], tuple[float, ...]], ...]
    twirl: str

    @classmethod
    def of(cls, instruction: CircuitInstruction, circuit: QuantumCircuit) -> Layer:
        """Return what a layer of a circuit consists of."""
        body = instruction.operation.body
        places = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        gates = [
            (
                gate.operation.name,
                tuple(places[body.find_bit(qubit).index] for qubit in gate.qubits),
                tuple(map(float, gate.operation.params)),
            )
            for gate in body.data
        ]
        return cls(tuple(sorted(places)), tuple(sorted(gates)), repr(get_annotation(instruction.operation, Twirl)))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Layer:
        """Return a layer from what :meth:`to_json` returned and a file has kept."""
        gates = tuple((name, tuple(qubits), tuple(parameters)) for name, qubits, parameters in content["gates"])
        return cls(tuple(content["qubits"]), gates, content["twirl"])

    def to_json(self) -> dict[str, Any]:
        """Return it as lists and texts."""
        gates = [[name, list(qubits), list(parameters)] for name, qubits, parameters in self.gates]
        return {"qubits": list(self.qubits), "gates": gates, "twirl": self.twirl}


def find_layers(
    backend: BackendV2, config: HardwareConfig, packs: Sequence[PackedCircuit]
) -> list[tuple[Layer, CircuitInstruction]]:
    """Return each layer of some circuits once, as IBM's Estimator forms them with these settings.

    Args:
        backend: that the circuits are for.
        config: with PEC or PEA.
        packs: the circuits.

    Raises:
        CircuitError: there are layers that cannot be told apart.
    """
    estimator = Estimator(mode=backend, options=estimator_options(config))
    # Neither observables nor values decide where layers are.
    pubs = [(pack.circuit, pack.observables[0], [0.0] * pack.circuit.num_parameters) for pack in packs]
    found = [(Layer.of(layer, packs[0].circuit), layer) for layer in estimator.find_unique_layers(pubs)]
    if len({layer for layer, _ in found}) != len(found):
        raise CircuitError("two layers of gates cannot be told apart, so that their noise cannot be learned")
    return found

"""Layers of two-qubit gates, whose noise is learned once and then used by every job: found, and found again.

IBM's client calls a layer by a short hash that depends on the layers that the process has seen before. So a layer is kept by what
it consists of, and found again by that, in whatever process and order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import CircuitInstruction, QuantumCircuit
from qiskit.providers import BackendV2
from qiskit_ibm_runtime.executor_estimator import Estimator
from samplomatic.annotations import Twirl
from samplomatic.utils import get_annotation

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.hardware.isa import PackedCircuit
from qgan_qiskit.hardware.options import estimator_options


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

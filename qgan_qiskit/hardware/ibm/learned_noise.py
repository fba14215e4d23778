"""Noise models learned by IBM's noise learner: gate layers, and the Pauli-Lindblad map of each, as JSON on disk.

A layer's error is a product of channels, one per Pauli: with probability (1 - exp(-2 rate)) / 2 that Pauli acts (van den Berg et
al., Nature Physics 19, 1116, 2023).

IBM's client names a layer by a short hash that depends on the layers the process has seen before. So a layer is stored by its
content, and found again by it in any process and order.
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
from qgan_qiskit.hardware.ibm.options import build_estimator_options
from qgan_qiskit.hardware.packing import PackedCircuit


@dataclass(frozen=True)
class GateLayer:
    """Content of a layer of two-qubit gates."""

    qubits: tuple[int, ...]  # of the device, ascending: those of the gates, and those twirled with them
    gates: tuple[tuple[str, tuple[int, ...], tuple[float, ...]], ...]  # name, qubits and parameters of each, sorted
    twirl: str  # how the layer is twirled

    @classmethod
    def from_instruction(cls, instruction: CircuitInstruction, circuit: QuantumCircuit) -> GateLayer:
        """Read the content of a box of a circuit."""
        body = instruction.operation.body
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        gates = [
            (
                gate.operation.name,
                tuple(qubits[body.find_bit(qubit).index] for qubit in gate.qubits),
                tuple(map(float, gate.operation.params)),
            )
            for gate in body.data
        ]
        return cls(tuple(sorted(qubits)), tuple(sorted(gates)), repr(get_annotation(instruction.operation, Twirl)))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> GateLayer:
        """Return a layer from :meth:`to_json` or its copy from a file."""
        gates = tuple((name, tuple(qubits), tuple(parameters)) for name, qubits, parameters in content["gates"])
        return cls(tuple(content["qubits"]), gates, content["twirl"])

    def to_json(self) -> dict[str, Any]:
        """Return the layer as lists and strings."""
        gates = [[name, list(qubits), list(parameters)] for name, qubits, parameters in self.gates]
        return {"qubits": list(self.qubits), "gates": gates, "twirl": self.twirl}


def find_layers(
    backend: BackendV2, config: HardwareConfig, circuits: Sequence[PackedCircuit]
) -> list[tuple[GateLayer, CircuitInstruction]]:
    """Return each distinct layer of the circuits, as IBM's Estimator forms them with these settings.

    Raises:
        CircuitError: two layers have the same content.
    """
    estimator = Estimator(mode=backend, options=build_estimator_options(config))
    # Layers depend neither on observables nor on parameter values.
    pubs = [(packed.circuit, packed.observables[0], [0.0] * packed.circuit.num_parameters) for packed in circuits]
    instructions = estimator.find_unique_layers(pubs)
    layers = [(GateLayer.from_instruction(layer, circuits[0].circuit), layer) for layer in instructions]
    if len({layer for layer, _ in layers}) != len(layers):
        raise CircuitError(
            "two layers of gates cannot be told apart, so their noise cannot be learned; leave PEC and PEA out"
        )
    return layers


def check_maps(maps: Sequence[PauliLindbladMap], layers: Sequence[GateLayer], source: str) -> None:
    """Check that maps can be the noise of these layers.

    Raises:
        RemoteError: the number of layers or qubits differs, or rates are not finite.
    """
    if len(maps) != len(layers):
        raise RemoteError(f"{source}: noise of {len(maps)} layers instead of {len(layers)}; collect again")
    for index, (noise, layer) in enumerate(zip(maps, layers, strict=True)):
        if noise.num_qubits != len(layer.qubits):
            raise RemoteError(
                f"{source}: noise of layer {index} is on {noise.num_qubits} qubits instead of {len(layer.qubits)}; "
                "collect again"
            )
        if not np.isfinite(noise.rates).all():
            raise RemoteError(f"{source}: noise rates of layer {index} are not finite; collect again")


def format_noise_model(maps: Sequence[PauliLindbladMap], layers: Sequence[GateLayer]) -> str:
    """Return layers as JSON, each with its Paulis, the positions among its qubits on which they act, and their rates."""
    content = [
        {
            **layer.to_json(),
            "generators": [[paulis, list(positions), rate] for paulis, positions, rate in noise.to_sparse_list()],
        }
        for noise, layer in zip(maps, layers, strict=True)
    ]
    return json.dumps({"format": 1, "layers": content}) + "\n"


def parse_noise_model(text: str) -> dict[GateLayer, PauliLindbladMap]:
    """Return the maps from :func:`format_noise_model` by layer.

    Raises:
        ValueError: the text is damaged; or KeyError, TypeError.
    """
    maps = {}
    for content in json.loads(text)["layers"]:
        terms = [(paulis, positions, float(rate)) for paulis, positions, rate in content["generators"]]
        maps[GateLayer.from_json(content)] = PauliLindbladMap.from_sparse_list(terms, len(content["qubits"]))
    return maps

"""What was learned of the noise of layers of gates: Pauli-Lindblad maps, checked when they arrive, as JSON on the disk.

In this model the error of a layer is a product of channels, one for each Pauli: with probability (1 - exp(-2 rate)) / 2 that
Pauli acts (van den Berg et al., Nature Physics 19, 1116, 2023).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from qiskit.quantum_info import PauliLindbladMap

from qgan_qiskit.errors import RemoteError
from qgan_qiskit.hardware.layers import Layer


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

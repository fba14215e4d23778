"""How the angles of rotations depend on parameters: what both engines are compiled from."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
from qiskit.circuit import Parameter
from scipy.sparse import csr_array

from qgan_qiskit.errors import CircuitError
from qgan_qiskit.simulation.lowering import Rotation


def check_known(rotation: Rotation, inputs: Container[Parameter], weights: Container[Parameter]) -> None:
    """Do nothing if every parameter of a rotation is an input or a weight.

    Raises:
        CircuitError: one is neither; the message names it.
    """
    for parameter in rotation.coefficients:
        if parameter not in inputs and parameter not in weights:
            raise CircuitError(f"parameter '{parameter.name}' is neither an input nor a weight")


def coefficients(rotations: Sequence[Rotation], columns: Mapping[Parameter, int]) -> csr_array:
    """Return the coefficients of some parameters in every angle, shape (rotations, parameters), sparse."""
    entries = [
        (row, columns[parameter], value)
        for row, rotation in enumerate(rotations)
        for parameter, value in rotation.coefficients.items()
        if parameter in columns and value
    ]
    rows, places, values = np.array(entries, dtype=float).reshape(-1, 3).T
    return csr_array((values, (rows.astype(int), places.astype(int))), shape=(len(rotations), len(columns)))

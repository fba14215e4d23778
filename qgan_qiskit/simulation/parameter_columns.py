"""How the angles of rotations depend on parameters: what both engines are compiled from.

Angles that are not affine: computed in torch before the engine, which takes each as one more input or weight.

Expressions of one tree, such as all ``2*(pi - x_i)*(pi - x_j)`` of a feature map, are computed together on stacked columns.

Shape letters: P instances · B batch · Q inputs · K weights · D expressions · E expressions of one tree.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import reduce

import numpy as np
import torch
from qiskit.circuit import Parameter
from scipy.sparse import csr_array
from torch import Tensor

from qgan_qiskit.circuits.parameter_expressions import Expression, Tree
from qgan_qiskit.errors import CircuitError
from qgan_qiskit.simulation.engine import Engine
from qgan_qiskit.simulation.ir import Rotation


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


class Columns:
    """Values of expressions from the values of parameters, differentiable."""

    def __init__(self, expressions: Sequence[Expression], parameters: Sequence[Parameter]) -> None:
        """Group the expressions by tree.

        Raises:
            CircuitError: an expression holds a parameter that is not listed; the message names it.
        """
        column = {parameter: number for number, parameter in enumerate(parameters)}
        for expression in expressions:
            for leaf in expression.leaves:
                if leaf not in column:
                    raise CircuitError(f"parameter '{leaf.name}' is neither an input nor a weight")
        groups: dict[Tree, list[int]] = {}
        for number, expression in enumerate(expressions):
            groups.setdefault(expression.tree, []).append(number)
        self._groups = [
            (
                tree,
                torch.tensor([[column[leaf] for leaf in expressions[n].leaves] for n in members]).T,
                torch.tensor([expressions[n].numbers for n in members], dtype=torch.float64).T,
            )
            for tree, members in groups.items()
        ]
        order = [n for members in groups.values() for n in members]
        self._texts = [expressions[n].text for n in order]
        self.parameters = [expressions[n].parameter for n in order]

    def __call__(self, values: Tensor) -> Tensor:
        """Return the values (…, D) for parameters (…, parameters).

        Raises:
            CircuitError: a value is not finite; the message names the expression and the row.
        """
        parts = []
        for tree, leaves, numbers in self._groups:
            leaf = [values.index_select(-1, index.to(values.device)) for index in leaves]
            found = _value(tree, leaf, numbers.to(values))
            parts.append(found.expand(*values.shape[:-1], leaves.shape[1]))
        result = torch.cat(parts, dim=-1)
        if not torch.isfinite(result).all():
            *row, place = (int(i) for i in (~torch.isfinite(result)).nonzero()[0])
            raise CircuitError(
                f"angle {self._texts[place]} is not a finite real number at row {tuple(row)} of the angles"
            )
        return result


def _value(tree: Tree, leaf: list[Tensor], numbers: Tensor) -> Tensor:
    kind, *parts = tree
    if kind == "leaf":
        return leaf[parts[0]]
    if kind == "number":
        return numbers[parts[0]]
    if kind == "Pow":
        base = _value(parts[0], leaf, numbers)
        return base.pow(parts[1] if isinstance(parts[1], float) else _value(parts[1], leaf, numbers))
    values = [_value(part, leaf, numbers) for part in parts]
    if kind == "Add":
        return reduce(torch.add, values)
    if kind == "Mul":
        return reduce(torch.mul, values)
    return getattr(torch, kind.lower())(values[0])


class ExpressionEngine(Engine):
    """An engine behind the columns of its expressions."""

    def __init__(self, inner: Engine, by_image: Columns | None, by_instance: Columns | None) -> None:
        """Wrap an engine whose inputs and weights end with the expressions of ``by_image`` and ``by_instance``."""
        super().__init__(inner.num_qubits, inner.real, inner.dtype, inner.device)
        self._inner, self._by_image, self._by_instance = inner, by_image, by_instance

    def bytes_needed(self, instances: int, batch: int, gradient: bool) -> int:
        """What the engine inside takes; the columns are small beside it."""
        return self._inner.bytes_needed(instances, batch, gradient)

    def _expectations(self, inputs_BPQ: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        weights_PK = weights[0] if weights[0].dim() == 2 else torch.stack(weights)
        x_BPQ, w_PK = _checked(inputs_BPQ), _checked(weights_PK)
        if self._by_image is not None:
            both = torch.cat([x_BPQ, w_PK.expand(len(x_BPQ), *w_PK.shape)], dim=-1)
            x_BPQ = torch.cat([x_BPQ, self._by_image(both)], dim=-1)
        if self._by_instance is not None:
            w_PK = torch.cat([w_PK, self._by_instance(w_PK)], dim=-1)
        return self._inner.expectations(x_BPQ, w_PK)


def _checked(values: Tensor) -> Tensor:
    """Return the same values, whose gradient is refused where it is not finite."""
    if not (torch.is_grad_enabled() and values.requires_grad):
        return values
    same = values.view_as(values)
    same.register_hook(_require_finite)
    return same


def _require_finite(gradient: Tensor) -> None:
    if not torch.isfinite(gradient).all():
        raise CircuitError("an angle has no finite derivative at these values, such as sqrt(x) at 0; move the values")

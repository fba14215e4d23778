"""A slow, readable reference of the engines: one image, one instance, one gate at a time, in NumPy.

Read it to see what the engines compute; the tests compare them, and they share :func:`qgan_qiskit.simulation.ir.lower` only.
``lower`` drops global phases, so a state is the circuit's up to a factor of modulus one, which no expectation shows.

A state of n qubits is a tensor of shape ``(2,) * n``, complex128, with qubit 0 on the last axis, as in Qiskit's labels.

Shape letters: Q inputs · K weights · O observables · D = 2**n amplitudes · M = 2**(qubits of a gate).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression, QuantumCircuit
from qiskit.quantum_info import Pauli, SparsePauliOp

from qgan_qiskit.circuits.parameter_expressions import Expression
from qgan_qiskit.simulation.ir import Fixed, Monomial, Operation, Rotation, lower

_PAULIS = {letter: Pauli(letter).to_matrix() for letter in "IXYZ"}


@dataclass(frozen=True, eq=False)
class ReferenceEngine:
    """Expectations of a circuit and their derivatives, in double precision.

    Attributes:
        circuit: unitary circuit whose angles are affine in its parameters.
        inputs: parameters that carry the image, in the order of ``inputs_Q``.
        weights: all other parameters, in the order of ``weights_K``.
        observables: Pauli sums with real coefficients, on all qubits of the circuit.

    Raises:
        CircuitError: on first use, if the circuit cannot be simulated; the message names the offender.
    """

    circuit: QuantumCircuit
    inputs: Sequence[Parameter]
    weights: Sequence[Parameter]
    observables: Sequence[SparsePauliOp]

    @cached_property
    def operations(self) -> list[Operation]:
        """The circuit as rotations, fixed one-qubit gates and monomial gates."""
        return lower(self.circuit, self._expressions)

    @cached_property
    def _expressions(self) -> dict[Parameter, Expression]:
        return {}

    def state(self, inputs_Q: np.ndarray, weights_K: np.ndarray) -> np.ndarray:
        """Return the final amplitudes, shape (D,), up to the global phase; qubit 0 is the lowest bit of the index.

        Args:
            inputs_Q: angles of one image in radians.
            weights_K: angles of one instance in radians.
        """
        return self._final_state(self._values(inputs_Q, weights_K)).reshape(-1)

    def expectations(self, inputs_Q: np.ndarray, weights_K: np.ndarray) -> np.ndarray:
        """Return <O> of every observable, shape (O,), for angles as in :meth:`state`."""
        state = self._final_state(self._values(inputs_Q, weights_K))
        return np.array([np.vdot(state, _observe(observable, state)).real for observable in self.observables])

    def jacobian(self, inputs_Q: np.ndarray, weights_K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return d<O>/d(input), shape (O, Q), and d<O>/d(weight), shape (O, K), per radian, for angles as in :meth:`state`.

        Algorithm 1 of Jones and Gacon (arXiv 2009.02823): d<O>/d(angle_i) = 2 Re <lambda| dU_i/d(angle_i) |phi>, where
        |phi> = U_(i-1) … U_1 |0> stands before gate i, and |lambda> = U_(i+1)^† … U_P^† O U_P … U_1 |0> has come back to just
        behind it. Both start at the end and lose a gate at each step. All observables share |phi>; each has its |lambda>.
        """
        values = self._values(inputs_Q, weights_K)
        phi = self._final_state(values)
        lambdas = [_observe(observable, phi) for observable in self.observables]
        gradients = [dict.fromkeys(values, 0.0) for _ in self.observables]
        for operation in reversed(self.operations):
            matrix, qubits = _gate(operation, values)
            undo = matrix.conj().T
            phi = _apply(undo, qubits, phi)
            if isinstance(operation, Rotation):
                # U = exp(-i angle/2 P), so dU/d(angle) = -i/2 P U; the angle is affine in the parameters.
                mu = _apply(-0.5j * _PAULIS[operation.axis.upper()] @ matrix, qubits, phi)
                for lambda_, gradient in zip(lambdas, gradients, strict=True):
                    slope = 2 * np.vdot(lambda_, mu).real
                    for parameter, coefficient in operation.coefficients.items():
                        gradient[parameter] += coefficient * slope
            lambdas = [_apply(undo, qubits, lambda_) for lambda_ in lambdas]
        for parameter, expression in self._expressions.items():
            for leaf in set(expression.leaves):
                slope = _at(expression.source.gradient(leaf), values).real
                for gradient in gradients:
                    gradient[leaf] += slope * gradient[parameter]
        rows = np.array([list(gradient.values()) for gradient in gradients])
        return rows[:, : len(self.inputs)], rows[:, len(self.inputs) : len(self.inputs) + len(self.weights)]

    def _values(self, inputs_Q: np.ndarray, weights_K: np.ndarray) -> dict[Parameter, float]:
        values = dict(zip([*self.inputs, *self.weights], [*inputs_Q, *weights_K], strict=True))
        _ = self.operations  # reading the circuit finds its expressions
        return values | {p: _at(e.source, values).real for p, e in self._expressions.items()}

    def _final_state(self, values: dict[Parameter, float]) -> np.ndarray:
        state = np.zeros((2,) * self.circuit.num_qubits, dtype=complex)
        state[(0,) * state.ndim] = 1
        for operation in self.operations:
            state = _apply(*_gate(operation, values), state)
        return state


def _at(expression: ParameterExpression | complex, values: dict[Parameter, float]) -> complex:
    if not isinstance(expression, ParameterExpression):
        return complex(expression)
    return complex(expression.bind({p: values[p] for p in expression.parameters}).numeric())


def _gate(operation: Operation, values: dict[Parameter, float]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the unitary matrix of an operation, shape (M, M), and its qubits; the first one is the lowest bit of the row."""
    if isinstance(operation, Monomial):
        return operation.phase[:, None] * np.eye(len(operation.source))[operation.source], operation.qubits
    if isinstance(operation, Fixed):
        return operation.matrix, (operation.qubit,)
    half = (operation.offset + sum(c * values[p] for p, c in operation.coefficients.items())) / 2
    return np.cos(half) * _PAULIS["I"] - 1j * np.sin(half) * _PAULIS[operation.axis.upper()], (operation.qubit,)


def _apply(matrix: np.ndarray, qubits: Sequence[int], state: np.ndarray) -> np.ndarray:
    """Return the state after a gate: bring the axes of its qubits to the front, multiply, bring them back."""
    axes = [state.ndim - 1 - qubit for qubit in reversed(qubits)]
    order = axes + [axis for axis in range(state.ndim) if axis not in axes]
    front = state.transpose(order)
    image = (matrix @ front.reshape(len(matrix), -1)).reshape(front.shape)
    return image.transpose(np.argsort(order))


def _observe(observable: SparsePauliOp, state: np.ndarray) -> np.ndarray:
    """Return O|state>: each Pauli string letter by letter, times its coefficient; the last letter acts on qubit 0."""
    total = np.zeros_like(state)
    for label, coefficient in observable.to_list():
        image = state
        for qubit, letter in enumerate(reversed(label)):
            image = _apply(_PAULIS[letter], (qubit,), image)
        total += coefficient * image
    return total

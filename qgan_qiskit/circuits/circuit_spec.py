"""One checked object for a trainable circuit: the circuit, its input and weight parameters, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.validation import check_gates, check_observables, check_parameters


@dataclass(frozen=True, eq=False)
class CircuitSpec:
    """A unitary circuit with inputs, weights and observables, checked once when it is made.

    The circuit is copied, so a later change of the original does not reach this object; treat ``circuit`` as read-only.

    Attributes:
        name: short name for messages and files.
        circuit: unitary circuit without classical bits; every angle is a differentiable expression (radians).
        input_parameters: parameters that carry data, in the order of the columns of the inputs (batch, num_inputs).
        weight_parameters: trained parameters, in the order of the weight vector (num_weights,).
        observables: what is measured, one expectation each, with real coefficients, on all qubits of the circuit.
        source: paper and section that the circuit follows.

    Raises:
        CircuitError: if the circuit, the parameters or the observables cannot be simulated and trained; the message
            names the offender and the remedy.
    """

    name: str
    circuit: QuantumCircuit
    input_parameters: tuple[Parameter, ...]
    weight_parameters: tuple[Parameter, ...]
    observables: tuple[SparsePauliOp, ...]
    source: str = ""

    def __post_init__(self) -> None:
        self._set("input_parameters", self.input_parameters)
        self._set("weight_parameters", self.weight_parameters)
        self._set("observables", self.observables)
        check_gates(self.circuit)
        check_parameters(self.circuit, self.input_parameters, self.weight_parameters)
        check_observables(self.circuit.num_qubits, self.observables)
        object.__setattr__(self, "circuit", self.circuit.copy())

    def _set(self, field: str, values: Sequence[object]) -> None:
        object.__setattr__(self, field, tuple(values))

    @property
    def num_qubits(self) -> int:
        """Qubits of the circuit."""
        return self.circuit.num_qubits

    @property
    def num_inputs(self) -> int:
        """Length of one input row."""
        return len(self.input_parameters)

    @property
    def num_weights(self) -> int:
        """Length of the weight vector."""
        return len(self.weight_parameters)

    @property
    def num_observables(self) -> int:
        """Expectations that the circuit gives for one input row."""
        return len(self.observables)

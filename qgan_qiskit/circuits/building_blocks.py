"""How data enters a circuit: one angle per qubit, written by one or two rotations.

Entangling layers: two-qubit gates on neighboring qubits 0-1, 1-2, …, in that order.

What is measured: one Pauli on each qubit, or parities of some qubits while others are projected on 0.

The pattern of all built circuits: an encoding, then layers of one rotation per qubit and a ladder of two-qubit gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.qasm.parameter_names import numbered_parameters
from qgan_qiskit.errors import CircuitError


def encode_ry(circuit: QuantumCircuit, inputs: Sequence[Parameter]) -> None:
    """Append RY(x_i) on qubit i. HybridQ (arXiv 2506.21015v1, section 3.2) names angle encoding but no axis.

    Args:
        circuit: circuit of at least ``len(inputs)`` qubits; changed in place.
        inputs: one angle in radians per qubit.
    """
    for qubit, angle in enumerate(inputs):
        circuit.ry(angle, qubit)


def encode_ry_rx(circuit: QuantumCircuit, inputs: Sequence[Parameter]) -> None:
    """Append RY(x_i), then RX(x_i) of the same angle, on qubit i, as MosaiQ's code does (arXiv 2308.11096, mosaiq.py).

    Args:
        circuit: circuit of at least ``len(inputs)`` qubits; changed in place.
        inputs: one angle in radians per qubit.
    """
    for qubit, angle in enumerate(inputs):
        circuit.ry(angle, qubit)
        circuit.rx(angle, qubit)


ENCODINGS: dict[str, Callable[[QuantumCircuit, Sequence[Parameter]], None]] = {"ry": encode_ry, "ry_rx": encode_ry_rx}


def cx_ladder(circuit: QuantumCircuit) -> None:
    """Append CX with control i and target i + 1 for each i, as HybridQ's text says (arXiv 2506.21015v1, section 3.2).

    Args:
        circuit: changed in place; one qubit gets no gate.
    """
    for qubit in range(circuit.num_qubits - 1):
        circuit.cx(qubit, qubit + 1)


def cz_ladder(circuit: QuantumCircuit) -> None:
    """Append CZ on i and i + 1 for each i, as MosaiQ's code does (arXiv 2308.11096, mosaiq.py).

    Args:
        circuit: changed in place; one qubit gets no gate.
    """
    for qubit in range(circuit.num_qubits - 1):
        circuit.cz(qubit, qubit + 1)


ENTANGLERS: dict[str, Callable[[QuantumCircuit], None]] = {"cx": cx_ladder, "cz": cz_ladder}


READOUTS = {"z": "Z", "x": "X"}


def single_qubit_paulis(pauli: str, num_qubits: int) -> tuple[SparsePauliOp, ...]:
    """Return the observables whose i-th entry acts with ``pauli`` on qubit i and with I elsewhere.

    Args:
        pauli: ``X``, ``Y`` or ``Z``.
        num_qubits: qubits of the circuit; also the number of observables.

    Returns:
        Observables in the order of the qubits. Qiskit writes qubit 0 last in a label: on three qubits the first is IIZ.
    """
    return tuple(SparsePauliOp.from_sparse_list([(pauli, [q], 1.0)], num_qubits) for q in range(num_qubits))


def projected_parities(num_qubits: int, num_ancillas: int) -> tuple[SparsePauliOp, ...]:
    """Return the parities of all subsets of the first qubits, each times the projector of the ancillas on 0.

    Observable s is the product of Z on the qubits that are 1 in the binary number s (qubit 0 its last digit), times
    ``(I + Z) / 2`` on each of the last ``num_ancillas`` qubits. Its expectation is the Walsh-Hadamard transform of the
    probabilities of basis state j with the ancillas in 0: ``<O_s> = sum_j (-1)**|j & s| p(j, 0)``. So few strings give
    all probabilities: 2**num_qubits in all, which commute and are measured in one basis.

    Args:
        num_qubits: all qubits; at least one is no ancilla.
        num_ancillas: how many of them, from the last on, are ancillas.

    Returns:
        2**(num_qubits - num_ancillas) observables, in the order of s.
    """
    shown = num_qubits - num_ancillas
    ancillas = range(shown, num_qubits)
    subsets = [subset for size in range(num_ancillas + 1) for subset in combinations(ancillas, size)]
    observables = []
    for s in range(1 << shown):
        parity = [qubit for qubit in range(shown) if s >> qubit & 1]
        terms = [("Z" * (len(parity) + len(subset)), [*parity, *subset], 1 / len(subsets)) for subset in subsets]
        observables.append(SparsePauliOp.from_sparse_list(terms, num_qubits))
    return tuple(observables)


def layered_ansatz(
    name: str,
    num_qubits: int,
    reps: int,
    *,
    encoding: str,
    entangler: str,
    observables: Sequence[SparsePauliOp],
    source: str,
) -> CircuitSpec:
    """Build encoding, then ``reps`` times [RY(theta) on each qubit, ladder 0-1, 1-2, …].

    Args:
        name: of the circuit.
        num_qubits: qubits, at least 1 (one qubit has no ladder); also the number of inputs.
        reps: repetitions of the layer, at least 1.
        encoding: a name of ``ENCODINGS``; angles in radians.
        entangler: a name of ``ENTANGLERS``.
        observables: what is measured.
        source: paper and section.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits) and weights ``theta_000…`` (reps * num_qubits, layer by layer).
    """
    inputs = numbered_parameters("x", num_qubits)
    weights = numbered_parameters("theta", reps * num_qubits)
    circuit = QuantumCircuit(num_qubits, name=name)
    ENCODINGS[encoding](circuit, inputs)
    for rep in range(reps):
        for qubit in range(num_qubits):
            circuit.ry(weights[rep * num_qubits + qubit], qubit)
        ENTANGLERS[entangler](circuit)
    return CircuitSpec(
        name=name,
        circuit=circuit,
        input_parameters=inputs,
        weight_parameters=weights,
        observables=tuple(observables),
        source=source,
    )


def check_size(argument: str, value: int, least: int = 1) -> None:
    """Refuse a number of things that is no whole number of at least ``least``.

    Raises:
        CircuitError: naming the argument.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise CircuitError(f"{argument} is {value!r}; give a whole number of at least {least}")


def check_choice(argument: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a name that is not one of the choices.

    Raises:
        CircuitError: naming the argument and the choices.
    """
    if value not in choices:
        raise CircuitError(f"{argument} is {value!r}; choose one of {', '.join(choices)}")

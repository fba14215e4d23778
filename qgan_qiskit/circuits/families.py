"""Builders of the published sub-generator circuits: HybridQ, MosaiQ, MediQ-GAN and QGPatch.

All share one pattern: an angle encoding, then layers of one RY per qubit and a linear chain of entangling gates. Inputs are
named ``x_000…``, weights ``theta_000…`` (layer by layer); angles are radians; entanglers act on qubits 0-1, 1-2, … in order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.circuit_spec import CircuitSpec, ParameterNames, numbered_parameters, single_qubit_paulis
from qgan_qiskit.circuits.qasm import read_circuit_spec
from qgan_qiskit.config import HybridQConfig, MediqConfig, MosaiqConfig, QgpatchConfig, TransferConfig
from qgan_qiskit.errors import CircuitError

_HYBRIDQ = ("ry", "cx", "z")
_MOSAIQ = ("ry_rx", "cz", "x")


# Rotations of the encoding on qubit i, all by x_i. HybridQ's text (section 3.2) names angle encoding but no axis; MosaiQ's code
# (mosaiq.py) has RY, then RX.
ENCODINGS = {"ry": (QuantumCircuit.ry,), "ry_rx": (QuantumCircuit.ry, QuantumCircuit.rx)}
# HybridQ's text has CX with control i and target i + 1, MosaiQ's code CZ.
ENTANGLERS = {"cx": QuantumCircuit.cx, "cz": QuantumCircuit.cz}


def projected_parities(num_qubits: int, num_ancillas: int) -> tuple[SparsePauliOp, ...]:
    """Return the parities of all subsets of the data qubits, each times the projector of the ancillas on 0.

    Observable s is the product of Z on the qubits whose bit is 1 in s (qubit 0 is the least significant bit), times
    ``(I + Z) / 2`` on each of the last ``num_ancillas`` qubits. Its expectation is the Walsh-Hadamard transform of the
    probabilities of basis state j with the ancillas in 0: ``<O_s> = sum_j (-1)**|j & s| p(j, 0)``. The 2**num_qubits Pauli
    strings of all observables commute and are measured in one basis.

    Returns:
        2**(num_qubits - num_ancillas) observables in the order of s.
    """
    num_data = num_qubits - num_ancillas
    ancillas = range(num_data, num_qubits)
    subsets = [subset for size in range(num_ancillas + 1) for subset in combinations(ancillas, size)]
    observables = []
    for s in range(1 << num_data):
        parity = [qubit for qubit in range(num_data) if s >> qubit & 1]
        terms = [("Z" * (len(parity) + len(subset)), [*parity, *subset], 1 / len(subsets)) for subset in subsets]
        observables.append(SparsePauliOp.from_sparse_list(terms, num_qubits))
    return tuple(observables)


def hybridq_ansatz(
    num_qubits: int = 10, reps: int = 6, *, encoding: str = "ry", entangler: str = "cx", readout: str = "z"
) -> CircuitSpec:
    """Build HybridQ's circuit: encoding, then ``reps`` times [RY(theta) on each qubit, entanglers], one Pauli per qubit.

    The paper (arXiv 2506.21015v1, section 3.2) names one tunable rotation per qubit and CNOTs on consecutive qubits.
    Axes and observables are our choice; MosaiQ's code has ``encoding="ry_rx", entangler="cz", readout="x"``.

    Args:
        num_qubits: number of qubits, at least 1; also the number of inputs and observables.
        reps: number of layers, at least 1.
        encoding: ``ry`` or ``ry_rx``.
        entangler: ``cx`` or ``cz``.
        readout: ``z`` or ``x``; observable i acts on qubit i.

    Raises:
        CircuitError: a size is below 1 or a name is not one of the choices.
    """
    _check_sizes(num_qubits, reps)
    _check_choice("encoding", encoding, ENCODINGS)
    _check_choice("entangler", entangler, ENTANGLERS)
    _check_choice("readout", readout, ("z", "x"))
    variant = (encoding, entangler, readout)
    name, source = f"hybridq_q{num_qubits}_r{reps}", "HybridQ, arXiv 2506.21015v1, section 3.2 and figure 2"
    if variant == _MOSAIQ:
        name, source = f"mosaiq_q{num_qubits}_r{reps}", "MosaiQ, arXiv 2308.11096, circuit of the authors' mosaiq.py"
    elif variant != _HYBRIDQ:
        name += "_" + "_".join(variant)
        source += f"; here with encoding {encoding}, entangler {entangler}, readout {readout}"
    observables = single_qubit_paulis(readout.upper(), num_qubits)
    return _build_layers(name, num_qubits, reps, encoding, entangler, observables, source)


def mediq_ansatz(num_qubits: int = 16, reps: int = 8, *, readout: str = "mean") -> CircuitSpec:
    """Build MediQ-GAN's circuit: RY and RX of each input, then ``reps`` times [RY(theta) on each qubit, CZ chain], read X.

    The circuit of the authors' mediq-gan.py (arXiv 2506.21015v2), which is MosaiQ's with more qubits and layers. They average
    the expectations over the qubits, so ``mean`` has that average as its only observable.

    Args:
        num_qubits: number of qubits, at least 1; also the number of inputs.
        reps: number of layers, at least 1.
        readout: ``mean``, or ``each`` for one observable per qubit.

    Raises:
        CircuitError: a size is below 1 or a name is not one of the choices.
    """
    _check_sizes(num_qubits, reps)
    _check_choice("readout", readout, ("mean", "each"))
    name, observables = f"mediq_q{num_qubits}_r{reps}_each", single_qubit_paulis("X", num_qubits)
    if readout == "mean":
        mean = SparsePauliOp.sum(list(observables)).simplify() / num_qubits
        name, observables = f"mediq_q{num_qubits}_r{reps}", (mean,)
    source = "MediQ-GAN, arXiv 2506.21015v2, circuit of the authors' mediq-gan.py"
    return _build_layers(name, num_qubits, reps, "ry_rx", "cz", observables, source)


def qgpatch_ansatz(num_qubits: int = 5, reps: int = 5, *, num_ancillas: int = 1) -> CircuitSpec:
    """Build QGPatch's circuit: RY(x_i) on each qubit, then ``reps`` times [RY(theta) on each qubit, CZ chain].

    Appendix B of the paper (Huang et al., Phys. Rev. Applied 16, 024051) draws the CZ gates as two rows, on even and on odd
    pairs; they commute, so this is the chain. Those of the last layer change no probability; they are kept because they are
    published.

    The last ``num_ancillas`` qubits are ancillas, projected on 0; the others index pixels, qubit 0 being the least
    significant bit. So the probabilities p(j, ancillas 0) are the first entries of Qiskit's
    ``Statevector.probabilities()``. PennyLane's tutorial has the ancilla on wire 0 and its first wire most
    significant: this circuit with the qubits in reverse order.

    Args:
        num_qubits: number of qubits with the ancillas, at least 1; also the number of inputs.
        reps: number of layers, at least 1.
        num_ancillas: number of ancillas, from 0 to num_qubits - 1.

    Returns:
        The circuit with the observables of :func:`projected_parities`.

    Raises:
        CircuitError: a size is too small, or no qubit is left for pixels.
    """
    _check_sizes(num_qubits, reps, num_ancillas)
    observables = projected_parities(num_qubits, num_ancillas)
    source = "QGPatch, Huang et al., Phys. Rev. Applied 16, 024051, arXiv 2010.06201, appendix B and figure 7"
    name = f"qgpatch_q{num_qubits}_a{num_ancillas}_r{reps}"
    return _build_layers(name, num_qubits, reps, "ry", "cz", observables, source)


@functools.singledispatch
def build_circuit_spec(config: Any) -> CircuitSpec:
    """Return the sub-generator's circuit that the settings of a quantum model ask for; a new model registers its own.

    Raises:
        CircuitError: the model has no circuit, or the file given as ``ansatz`` cannot be used.
    """
    raise CircuitError(f"model {config.name} has no circuit; choose a quantum model")


@build_circuit_spec.register
def _(config: HybridQConfig) -> CircuitSpec:
    if config.ansatz is None:
        return hybridq_ansatz(
            config.num_qubits, config.reps, encoding=config.encoding, entangler=config.entangler, readout=config.readout
        )
    spec = read_circuit_spec(config.ansatz, names=ParameterNames(config.input_names, config.weight_names))
    if not spec.num_inputs:
        raise CircuitError(
            f"{config.ansatz}: has no inputs, so every image would be the same; use x_000, x_001, … in some gates "
            "(or name inputs with --input-names)"
        )
    return spec


@build_circuit_spec.register
def _(config: MosaiqConfig) -> CircuitSpec:
    return hybridq_ansatz(
        config.num_qubits, config.reps, encoding=config.encoding, entangler=config.entangler, readout=config.readout
    )


@build_circuit_spec.register
def _(config: QgpatchConfig) -> CircuitSpec:
    return qgpatch_ansatz(config.num_qubits, config.reps, num_ancillas=config.num_ancillas)


@build_circuit_spec.register
def _(config: MediqConfig) -> CircuitSpec:
    readout = "mean" if config.quantum_stream == "faithful" else "each"
    return mediq_ansatz(config.num_qubits, config.reps, readout=readout)


@build_circuit_spec.register
def _(config: TransferConfig) -> CircuitSpec:
    return hybridq_ansatz(config.num_qubits, config.reps)


def _build_layers(
    name: str,
    num_qubits: int,
    reps: int,
    encoding: str,
    entangler: str,
    observables: Sequence[SparsePauliOp],
    source: str,
) -> CircuitSpec:
    inputs = numbered_parameters("x", num_qubits)
    weights = numbered_parameters("theta", reps * num_qubits)
    circuit = QuantumCircuit(num_qubits, name=name)
    for qubit, angle in enumerate(inputs):
        for rotate in ENCODINGS[encoding]:
            rotate(circuit, angle, qubit)
    for rep in range(reps):
        for qubit in range(num_qubits):
            circuit.ry(weights[rep * num_qubits + qubit], qubit)
        for qubit in range(num_qubits - 1):
            ENTANGLERS[entangler](circuit, qubit, qubit + 1)
    return CircuitSpec(name, circuit, inputs, weights, tuple(observables), source)


def _check_sizes(num_qubits: int, reps: int, num_ancillas: int = 0) -> None:
    for argument, value, minimum in (
        ("num_qubits", num_qubits, 1),
        ("reps", reps, 1),
        ("num_ancillas", num_ancillas, 0),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise CircuitError(f"{argument} is {value!r}; give a whole number of at least {minimum}")
    if num_ancillas >= num_qubits:
        raise CircuitError(f"num_ancillas is {num_ancillas} of {num_qubits} qubits; leave at least one for pixels")


def _check_choice(argument: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise CircuitError(f"{argument} is {value!r}; choose one of {', '.join(choices)}")

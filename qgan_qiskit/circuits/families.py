"""HybridQ's sub-generator circuit, and by argument that of MosaiQ.

MediQ-GAN's sub-generator circuit.

QGPatch's sub-generator circuit (Huang et al., Phys. Rev. Applied 16, 024051).

The sub-generator circuit that a model's settings ask for.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits.building_blocks import (
    ENCODINGS,
    ENTANGLERS,
    READOUTS,
    check_choice,
    check_size,
    layered_ansatz,
    projected_parities,
    single_qubit_paulis,
)
from qgan_qiskit.circuits.circuit_spec import CircuitSpec
from qgan_qiskit.circuits.qasm.files import read_circuit_spec
from qgan_qiskit.circuits.qasm.parameter_names import ParameterNames
from qgan_qiskit.config import HybridQConfig, MediqConfig, MosaiqConfig, QgpatchConfig, TransferConfig
from qgan_qiskit.errors import CircuitError

_HYBRIDQ = ("ry", "cx", "z")
_MOSAIQ = ("ry_rx", "cz", "x")


def hybridq_ansatz(
    num_qubits: int = 10, reps: int = 6, *, encoding: str = "ry", entangler: str = "cx", readout: str = "z"
) -> CircuitSpec:
    """Build encoding, then ``reps`` times [RY(theta) on each qubit, ladder 0-1, 1-2, …], read on each qubit.

    The paper (arXiv 2506.21015v1, section 3.2) names one tunable rotation per qubit and CNOTs on consecutive qubits.
    Axes and observable are our choice; MosaiQ's code has ``encoding="ry_rx", entangler="cz", readout="x"``.

    Args:
        num_qubits: qubits, at least 1 (one qubit has no ladder); also the number of inputs and of observables.
        reps: repetitions of the layer, at least 1.
        encoding: ``ry`` or ``ry_rx``; angles in radians.
        entangler: ``cx`` or ``cz``.
        readout: ``z`` or ``x``; observable i acts on qubit i.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits) and weights ``theta_000…`` (reps * num_qubits, layer by layer).

    Raises:
        CircuitError: if a size is below 1 or a name is not one of the choices.
    """
    check_size("num_qubits", num_qubits)
    check_size("reps", reps)
    check_choice("encoding", encoding, ENCODINGS)
    check_choice("entangler", entangler, ENTANGLERS)
    check_choice("readout", readout, READOUTS)
    return layered_ansatz(
        _name(num_qubits, reps, encoding, entangler, readout),
        num_qubits,
        reps,
        encoding=encoding,
        entangler=entangler,
        observables=single_qubit_paulis(READOUTS[readout], num_qubits),
        source=_source(encoding, entangler, readout),
    )


def _name(num_qubits: int, reps: int, encoding: str, entangler: str, readout: str) -> str:
    """Return a name that differs for every choice of arguments; it is also the file name in the cabinet."""
    size = f"q{num_qubits}_r{reps}"
    if (encoding, entangler, readout) == _MOSAIQ:
        return f"mosaiq_{size}"
    if (encoding, entangler, readout) == _HYBRIDQ:
        return f"hybridq_{size}"
    return f"hybridq_{size}_{encoding}_{entangler}_{readout}"


def _source(encoding: str, entangler: str, readout: str) -> str:
    if (encoding, entangler, readout) == _MOSAIQ:
        return "MosaiQ, arXiv 2308.11096, circuit of the authors' mosaiq.py"
    source = "HybridQ, arXiv 2506.21015v1, section 3.2 and figure 2"
    if (encoding, entangler, readout) == _HYBRIDQ:
        return source
    return f"{source}; here with encoding {encoding}, entangler {entangler}, readout {readout}"


def mediq_ansatz(num_qubits: int = 16, reps: int = 8, *, readout: str = "mean") -> CircuitSpec:
    """Build RY then RX of each input, then ``reps`` times [RY(theta) on each qubit, CZ on 0-1, 1-2, …], and read X.

    The circuit of the authors' mediq-gan.py (arXiv 2506.21015v2), which is MosaiQ's with more qubits and layers. They average
    the qubits' expectations at once, so ``mean`` has that average as its only observable.

    Args:
        num_qubits: qubits, at least 1; also the number of inputs, angles in radians.
        reps: repetitions of the layer, at least 1.
        readout: ``mean``, or ``each`` for an observable per qubit.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits) and weights ``theta_000…`` (reps * num_qubits, layer by layer).

    Raises:
        CircuitError: if a size is below 1 or a name is not one of the choices.
    """
    check_size("num_qubits", num_qubits)
    check_size("reps", reps)
    check_choice("readout", readout, ("mean", "each"))
    paulis = single_qubit_paulis("X", num_qubits)
    mean = SparsePauliOp.sum(list(paulis)).simplify() / num_qubits
    return layered_ansatz(
        f"mediq_q{num_qubits}_r{reps}" + ("" if readout == "mean" else "_each"),
        num_qubits,
        reps,
        encoding="ry_rx",
        entangler="cz",
        observables=(mean,) if readout == "mean" else paulis,
        source="MediQ-GAN, arXiv 2506.21015v2, circuit of the authors' mediq-gan.py",
    )


def qgpatch_ansatz(num_qubits: int = 5, reps: int = 5, *, num_ancillas: int = 1) -> CircuitSpec:
    """Build RY(x_i) on each qubit, then ``reps`` times [RY(theta) on each qubit, CZ on neighbors 0-1, 1-2, …].

    The paper's appendix B draws the CZ gates as two rows, on pairs from even and from odd qubits: they commute, so this is
    the chain. Those of the last layer change no probability; they are kept because they are published.

    The last ``num_ancillas`` qubits are ancillas, projected on 0; the others count pixels, qubit 0 being the least
    significant bit of a pixel's number. So the probabilities p(j, ancillas 0) are the first entries of what Qiskit's
    ``Statevector.probabilities()`` returns. PennyLane's tutorial has the ancilla on wire 0 and its first wire most
    significant, which is this circuit with the qubits numbered from the other end.

    Args:
        num_qubits: all qubits, at least 1; also the number of inputs.
        reps: repetitions of the layer, at least 1.
        num_ancillas: how many of the qubits are ancillas, from 0 to num_qubits - 1.

    Returns:
        The ansatz with inputs ``x_000…`` (num_qubits), weights ``theta_000…`` (reps * num_qubits, layer by layer) and
        observables as in :func:`qgan_qiskit.circuits.building_blocks.projected_parities`.

    Raises:
        CircuitError: if a size is too small, or no qubit is left for pixels.
    """
    check_size("num_qubits", num_qubits)
    check_size("reps", reps)
    check_size("num_ancillas", num_ancillas, least=0)
    if num_ancillas >= num_qubits:
        raise CircuitError(f"num_ancillas is {num_ancillas} of {num_qubits} qubits; leave at least one for pixels")
    return layered_ansatz(
        f"qgpatch_q{num_qubits}_a{num_ancillas}_r{reps}",
        num_qubits,
        reps,
        encoding="ry",
        entangler="cz",
        observables=projected_parities(num_qubits, num_ancillas),
        source="QGPatch, Huang et al., Phys. Rev. Applied 16, 024051, arXiv 2010.06201, appendix B and figure 7",
    )


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
    ansatz = read_circuit_spec(config.ansatz, names=ParameterNames(config.input_names, config.weight_names))
    if not ansatz.num_inputs:
        raise CircuitError(
            f"{config.ansatz}: has no inputs, so every image would be the same; turn some gates by x_000, x_001, … "
            "(or name inputs with --input-names)"
        )
    return ansatz


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
    readout: Literal["mean", "each"] = "mean" if config.quantum_stream == "faithful" else "each"
    return mediq_ansatz(config.num_qubits, config.reps, readout=readout)


@build_circuit_spec.register
def _(config: TransferConfig) -> CircuitSpec:
    return hybridq_ansatz(config.num_qubits, config.reps)

"""QGPatch's sub-generator circuit (Huang et al., Phys. Rev. Applied 16, 024051)."""

from __future__ import annotations

from qgan_qiskit.circuits.ansatz import Ansatz
from qgan_qiskit.circuits.layers import check_size, layered_ansatz
from qgan_qiskit.circuits.readouts import projected_parities
from qgan_qiskit.errors import CircuitError


def qgpatch_ansatz(num_qubits: int = 5, reps: int = 5, *, num_ancillas: int = 1) -> Ansatz:
    """Build RY(x_i) on each qubit, then ``reps`` times [RY(theta) on each qubit, CZ on neighbours 0-1, 1-2, …].

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
        observables as in :func:`qgan_qiskit.circuits.readouts.projected_parities`.

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

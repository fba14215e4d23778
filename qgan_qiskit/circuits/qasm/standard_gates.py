"""The gates of OpenQASM 3's ``stdgates.inc``, and how any other gate is made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qiskit.circuit import Barrier, Gate, Instruction, Operation, QuantumCircuit
from qiskit.circuit.library import GlobalPhaseGate, PermutationGate, UnitaryGate, standard_gates
from qiskit.exceptions import QiskitError
from qiskit.synthesis import synth_permutation_basic

from qgan_qiskit.circuits.gate_definitions import definition_of, strip_annotations
from qgan_qiskit.errors import CircuitError

# A gate or barrier and the numbers of its qubits. A global phase is a gate on no qubits.
Step = tuple[Instruction, tuple[int, ...]]

# More gates than this are no circuit that anyone trains: gates that use gates double with every level.
LARGEST = 100_000

# A matrix on more qubits takes too many gates.
_LARGEST_MATRIX = 8

# Name in OpenQASM 3: Qiskit's class, number of angles, number of qubits. As everywhere in Qiskit, U has no phase of its own.
STANDARD: dict[str, tuple[type[Gate], int, int]] = {
    "U": (standard_gates.UGate, 3, 1),
    "p": (standard_gates.PhaseGate, 1, 1),
    "x": (standard_gates.XGate, 0, 1),
    "y": (standard_gates.YGate, 0, 1),
    "z": (standard_gates.ZGate, 0, 1),
    "h": (standard_gates.HGate, 0, 1),
    "s": (standard_gates.SGate, 0, 1),
    "sdg": (standard_gates.SdgGate, 0, 1),
    "t": (standard_gates.TGate, 0, 1),
    "tdg": (standard_gates.TdgGate, 0, 1),
    "sx": (standard_gates.SXGate, 0, 1),
    "rx": (standard_gates.RXGate, 1, 1),
    "ry": (standard_gates.RYGate, 1, 1),
    "rz": (standard_gates.RZGate, 1, 1),
    "cx": (standard_gates.CXGate, 0, 2),
    "cy": (standard_gates.CYGate, 0, 2),
    "cz": (standard_gates.CZGate, 0, 2),
    "cp": (standard_gates.CPhaseGate, 1, 2),
    "crx": (standard_gates.CRXGate, 1, 2),
    "cry": (standard_gates.CRYGate, 1, 2),
    "crz": (standard_gates.CRZGate, 1, 2),
    "ch": (standard_gates.CHGate, 0, 2),
    "swap": (standard_gates.SwapGate, 0, 2),
    "ccx": (standard_gates.CCXGate, 0, 3),
    "cswap": (standard_gates.CSwapGate, 0, 3),
    "cu": (standard_gates.CUGate, 4, 2),
    "id": (standard_gates.IGate, 0, 1),
    "u1": (standard_gates.U1Gate, 1, 1),
    "u2": (standard_gates.U2Gate, 2, 1),
    "u3": (standard_gates.U3Gate, 3, 1),
}
# The other names that stdgates.inc has for some of them.
SYNONYMS = {"CX": "cx", "phase": "p", "cphase": "cp"}
_NAMES = {gate_class: name for name, (gate_class, _, _) in STANDARD.items()}


def standard_name(operation: Operation) -> str | None:
    """Return the name of an operation in ``stdgates.inc``, or None if it has none; a control on 0 has none."""
    if not isinstance(operation, Gate) or getattr(operation, "ctrl_state", None) not in (
        None,
        (1 << getattr(operation, "num_ctrl_qubits", 0)) - 1,
    ):
        return None
    return _NAMES.get(operation.base_class)


def steps_of(operation: Operation, qubits: Sequence[int], inside: str = "") -> Iterator[Step]:
    """Yield what an operation is made of: gates of ``stdgates.inc``, barriers and global phases, in order.

    Args:
        operation: what a circuit holds.
        qubits: the numbers of its qubits.
        inside: where it stands, for messages.

    Raises:
        CircuitError: something in it is not unitary, or has no definition.
    """
    place = f"on qubit {', '.join(map(str, qubits))}{inside}" if qubits else inside.strip()
    gate = strip_annotations(operation, place)
    if isinstance(gate, Barrier | GlobalPhaseGate) or standard_name(gate) is not None:
        yield gate, tuple(qubits)
        return
    definition = _made_of(gate, place)
    if definition is None:
        raise CircuitError(f"'{gate.name}' {place} is not made of unitary gates; define it by standard gates")
    inner = f" in '{gate.name}'{inside}"
    if len(inner) > 10_000:
        raise CircuitError(f"'{gate.name}' {place[:100]}… is defined by itself; define it by standard gates")
    yield from _steps_inside(definition, qubits, inner)


def _made_of(gate: Instruction, place: str) -> QuantumCircuit | None:
    """Return the definition of a gate; of one that has only a matrix, the gates that make it up."""
    if isinstance(gate, PermutationGate):
        return synth_permutation_basic(gate.pattern)
    definition = definition_of(gate, place)
    if (
        definition is None
        and isinstance(gate, Gate)
        and hasattr(gate, "__array__")
        and gate.num_qubits <= _LARGEST_MATRIX
    ):
        return UnitaryGate(gate.to_matrix()).definition
    return definition


def _steps_inside(definition: QuantumCircuit, qubits: Sequence[int], inside: str) -> Iterator[Step]:
    # A gate's global phase matters where the gate is controlled; Qiskit's own definitions of those have seen to it.
    if not (isinstance(definition.global_phase, int | float) and definition.global_phase == 0):
        yield GlobalPhaseGate(definition.global_phase), ()
    for instruction in definition.data:
        inner = [qubits[definition.find_bit(qubit).index] for qubit in instruction.qubits]
        yield from steps_of(instruction.operation, inner, inside)


def circuit_of(steps: Iterator[Step] | Sequence[Step], num_qubits: int, name: str | None = None) -> QuantumCircuit:
    """Return the circuit of some steps, on one register ``q``.

    Raises:
        CircuitError: there are more than ``LARGEST``.
    """
    circuit = QuantumCircuit(num_qubits, name=name)
    for number, (gate, qubits) in enumerate(steps):
        if number == LARGEST:
            raise too_large()
        if isinstance(gate, GlobalPhaseGate):
            circuit.global_phase += gate.params[0]
        else:
            circuit.append(gate, qubits, copy=False)
    return circuit


def resolved(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a unitary circuit with every gate that ``stdgates.inc`` lacks written out, on one register ``q``.

    Qubits, parameters and unitary (global phase included) stay as they are. Gates defined by gates can grow without bound, so
    there is a limit.

    Raises:
        CircuitError: something is not unitary, or there are more than ``LARGEST`` gates.
    """
    try:
        flat = circuit_of(_steps_inside(circuit, range(circuit.num_qubits), ""), circuit.num_qubits, circuit.name)
    except QiskitError as error:
        raise CircuitError(f"a gate's definition cannot be used ({' '.join(str(error.message).split())})") from error
    # Qiskit leaves some in definitions of inverted and controlled gates when it assigns values.
    stray = set(flat.parameters) - set(circuit.parameters)
    if stray:
        raise CircuitError(
            f"a gate's definition holds the parameter '{min(parameter.name for parameter in stray)}', which the circuit has "
            "not; write the gate out in standard gates"
        )
    return flat


def too_large() -> CircuitError:
    """Return the error of a circuit that has too many gates."""
    return CircuitError(
        f"the circuit has more than {LARGEST:,} gates once its own gates are written out; make it smaller"
    )

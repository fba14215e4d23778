"""Sequences of gates of OpenQASM 3's ``stdgates.inc``: decomposition into them, and the modifiers of OpenQASM 3.

A `Step` is a gate or barrier with the indices of its qubits; a global phase is a gate on no qubits. All results consist of the
gates in `STANDARD`, barriers and global phases. The modifiers ``ctrl``, ``negctrl`` and ``inv`` act gate by gate, so their
rules also hold for angles with free parameters. What is not unitary, has no definition or exceeds `MAX_GATES` raises
`CircuitError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from qiskit.circuit import Barrier, Gate, Instruction, Operation, ParameterExpression, QuantumCircuit
from qiskit.circuit import library as lib
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator
from qiskit.synthesis import synth_permutation_basic

from qgan_qiskit.circuits.gate_definitions import definition_of, error_text, strip_annotations
from qgan_qiskit.errors import CircuitError

Step = tuple[Instruction, tuple[int, ...]]

# Far beyond any circuit that can be trained; the size of nested gate definitions can double with every level.
MAX_GATES = 100_000
_MAX_MATRIX_QUBITS = 8
# The matrix of a fractional power has 4**n entries.
_MAX_POWER_QUBITS = 6
# Deeper nesting means that a gate is defined by itself.
_MAX_PARENTS_LENGTH = 10_000

_STANDARD_NAMES = (
    "u p x y z h s sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu id u1 u2 u3".split()  # noqa: SIM905
)
# OpenQASM 3 name: Qiskit's class, number of angles, number of qubits. As everywhere in Qiskit, U has no global phase.
STANDARD: dict[str, tuple[type[Gate], int, int]] = {
    "U" if name == "u" else name: (gate.base_class, len(gate.params), gate.num_qubits)
    for name in _STANDARD_NAMES
    for gate in [lib.get_standard_gate_name_mapping()[name]]
}
# Other names of these in stdgates.inc.
SYNONYMS = {"CX": "cx", "phase": "p", "cphase": "cp"}
_NAMES = {gate_class: name for name, (gate_class, _, _) in STANDARD.items()}
_PHASES = {"z": math.pi, "s": math.pi / 2, "sdg": -math.pi / 2, "t": math.pi / 4, "tdg": -math.pi / 4}
# pow(k) of these is the same gate with k times the angle.
_ROTATIONS = ("rx", "ry", "rz", "p", "crx", "cry", "crz", "cp", "global_phase")


def standard_name(operation: Operation) -> str | None:
    """Return the name of an operation in ``stdgates.inc``, or None if it has none (as gates with negative controls)."""
    all_ones = (1 << getattr(operation, "num_ctrl_qubits", 0)) - 1
    if not isinstance(operation, Gate) or getattr(operation, "ctrl_state", None) not in (None, all_ones):
        return None
    return _NAMES.get(operation.base_class)


def decompose(operation: Operation, qubits: Sequence[int], parents: str = "") -> Iterator[Step]:
    """Yield the steps of an operation in order; ``parents`` names the gates that contain it, for messages."""
    location = f"on qubit {', '.join(map(str, qubits))}{parents}" if qubits else parents.strip()
    gate = strip_annotations(operation, location)
    if isinstance(gate, Barrier | lib.GlobalPhaseGate) or standard_name(gate) is not None:
        yield gate, tuple(qubits)
        return
    definition = _find_definition(gate, location)
    if definition is None:
        raise CircuitError(f"'{gate.name}' {location} does not consist of unitary gates; define it with standard gates")
    inner = f" in '{gate.name}'{parents}"
    if len(inner) > _MAX_PARENTS_LENGTH:
        raise CircuitError(f"'{gate.name}' {location[:100]}… is defined by itself; define it with standard gates")
    yield from _decompose_all(definition, qubits, inner)


def _find_definition(gate: Instruction, location: str) -> QuantumCircuit | None:
    if isinstance(gate, lib.PermutationGate):
        return synth_permutation_basic(gate.pattern)
    definition = definition_of(gate, location)
    has_matrix = isinstance(gate, Gate) and hasattr(gate, "__array__") and gate.num_qubits <= _MAX_MATRIX_QUBITS
    return lib.UnitaryGate(gate.to_matrix()).definition if definition is None and has_matrix else definition


def _decompose_all(definition: QuantumCircuit, qubits: Sequence[int], parents: str) -> Iterator[Step]:
    # A gate's global phase matters where the gate is controlled; Qiskit's own definitions account for that.
    if not (isinstance(definition.global_phase, int | float) and definition.global_phase == 0):
        yield lib.GlobalPhaseGate(definition.global_phase), ()
    for instruction in definition.data:
        inner = [qubits[definition.find_bit(qubit).index] for qubit in instruction.qubits]
        yield from decompose(instruction.operation, inner, parents)


def build_circuit(steps: Iterable[Step], num_qubits: int, name: str | None = None) -> QuantumCircuit:
    """Return the circuit of a sequence of steps, on one register ``q``."""
    circuit = QuantumCircuit(num_qubits, name=name)
    for number, (gate, qubits) in enumerate(steps):
        check_gate_count(number + 1)
        if isinstance(gate, lib.GlobalPhaseGate):
            circuit.global_phase += gate.params[0]
        else:
            circuit.append(gate, qubits, copy=False)
    return circuit


def decompose_circuit(circuit: QuantumCircuit) -> QuantumCircuit:
    """Decompose a unitary circuit into standard gates, on one register ``q``.

    Qubit order, parameters and unitary (global phase included) stay the same.
    """
    try:
        flat = build_circuit(_decompose_all(circuit, range(circuit.num_qubits), ""), circuit.num_qubits, circuit.name)
    except QiskitError as error:
        raise CircuitError(
            f"a gate's definition cannot be used ({error_text(error)}); decompose it into standard gates"
        ) from error
    # Qiskit leaves some in definitions of inverted and controlled gates when it assigns values.
    if stray := set(flat.parameters) - set(circuit.parameters):
        raise CircuitError(
            f"a gate's definition has the parameter '{min(parameter.name for parameter in stray)}', which is not in the "
            "circuit; decompose the gate into standard gates"
        )
    return flat


def check_gate_count(count: float) -> None:
    """Raise `CircuitError` if a decomposed circuit has too many gates."""
    if count > MAX_GATES:
        raise CircuitError(f"the circuit has more than {MAX_GATES:,} gates after decomposition; make it smaller")


def invert(steps: Sequence[Step]) -> list[Step]:
    """Return the inverse of a sequence."""
    return [
        step
        for gate, qubits in reversed(steps)
        for step in decompose(gate if isinstance(gate, Barrier) else gate.inverse(), qubits)
    ]


def control(steps: Sequence[Step], controls: Sequence[int], state: bool) -> list[Step]:
    """Return a sequence that is applied where all controls are in ``state``."""
    flips: list[Step] = [] if state else [(lib.XGate(), (qubit,)) for qubit in controls]
    controlled = [made for gate, qubits in steps for made in _control_gate(gate, qubits, tuple(controls))]
    return [*flips, *(step for gate, qubits in controlled for step in decompose(gate, qubits)), *flips]


def raise_to_power(steps: Sequence[Step], exponent: float) -> list[Step]:
    """Return a sequence to a power: repeated if it is whole, else the principal power."""
    if len(steps) == 1 and steps[0][0].name in _ROTATIONS:
        gate, qubits = steps[0]
        return [(type(gate)(gate.params[0] * exponent), qubits)]
    if float(exponent).is_integer():
        check_gate_count(len(steps) * abs(exponent))
        return list(steps if exponent >= 0 else invert(steps)) * abs(int(exponent))
    if any(isinstance(angle, ParameterExpression) for gate, _ in steps for angle in gate.params):
        raise CircuitError(f"pow({exponent}) of a gate with free parameters has no closed form; decompose the power")
    qubits = tuple(sorted({qubit for _, touched in steps for qubit in touched}))
    if len(qubits) > _MAX_POWER_QUBITS:
        raise CircuitError(f"pow({exponent}) is of a gate on {len(qubits)} qubits; decompose the power")
    if not qubits:
        return [(lib.GlobalPhaseGate(exponent * sum(gate.params[0] for gate, _ in steps)), ())]
    base = build_circuit([(gate, tuple(map(qubits.index, touched))) for gate, touched in steps], len(qubits))
    return list(decompose(lib.UnitaryGate(Operator(base).power(exponent)), qubits))


def _control_gate(gate: Gate, qubits: tuple[int, ...], controls: tuple[int, ...]) -> list[Step]:
    """Return a standard gate with controls on 1, as gates that Qiskit can decompose."""
    if isinstance(gate, Barrier) or gate.name == "id":
        return [(gate, qubits)]
    if isinstance(gate, lib.GlobalPhaseGate):
        return _control_phase(gate.params[0], controls)
    if isinstance(gate, lib.CUGate):
        *angles, phase = gate.params
        all_controls, target = (*controls, qubits[0]), qubits[1]
        return [*_control_phase(phase, all_controls), *_control_gate(lib.UGate(*angles), (target,), all_controls)]
    own = getattr(gate, "num_ctrl_qubits", 0)
    if own:
        return _control_gate(gate.base_gate, qubits[own:], (*controls, *qubits[:own]))
    if gate.name == "swap":
        first, second = qubits
        flip: Step = (lib.XGate().control(1), (second, first))
        return [flip, (lib.XGate().control(len(controls) + 1), (*controls, first, second)), flip]
    return _control_single_qubit_gate(gate, qubits[0], controls)


def _control_single_qubit_gate(gate: Gate, target: int, controls: tuple[int, ...]) -> list[Step]:
    name, angles = gate.name, gate.params
    qubits = (*controls, target)
    if len(controls) == 1 and name in ("x", "y", "z", "h", "p", "rx", "ry", "rz"):
        return [(gate.control(1, annotated=False), qubits)]
    flip: Step = (lib.XGate().control(len(controls)), qubits)

    def conjugate(before: Gate, inner: list[Step], after: Gate) -> list[Step]:
        return [(before, (target,)), *inner, (after, (target,))]

    match name:
        case "x":
            return [flip]
        case "y":
            return conjugate(lib.SdgGate(), [flip], lib.SGate())
        case "h":
            inner = _control_single_qubit_gate(lib.ZGate(), target, controls)
            return conjugate(lib.RYGate(-math.pi / 4), inner, lib.RYGate(math.pi / 4))
        case "z" | "s" | "sdg" | "t" | "tdg":
            return _control_phase(_PHASES[name], qubits)
        case "p" | "u1":
            return _control_phase(angles[0], qubits)
        case "sx":
            return conjugate(lib.HGate(), _control_phase(math.pi / 2, qubits), lib.HGate())
        case "ry" | "rz":
            half = angles[0] / 2
            return [(type(gate)(half), (target,)), flip, (type(gate)(-half), (target,)), flip]
        case "rx":
            return conjugate(
                lib.HGate(), _control_single_qubit_gate(lib.RZGate(angles[0]), target, controls), lib.HGate()
            )
        case "u" | "u3" | "u2":
            theta, phi, lam = (math.pi / 2, *angles) if name == "u2" else angles
            if len(controls) == 1:
                return [(lib.CUGate(theta, phi, lam, 0), qubits)]
            rotation = _control_single_qubit_gate(lib.RYGate(theta), target, controls)
            return [*_control_phase(lam, qubits), *rotation, *_control_phase(phi, qubits)]
    raise CircuitError(f"gate '{name}' cannot be controlled; decompose it into standard gates")


def _control_phase(angle: ParameterExpression | float, qubits: tuple[int, ...]) -> list[Step]:
    """Return the gate that multiplies the state with all qubits 1 by a phase."""
    gate = lib.PhaseGate(angle)
    return [(gate if len(qubits) == 1 else gate.control(len(qubits) - 1, annotated=False), qubits)]

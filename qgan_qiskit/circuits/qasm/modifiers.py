"""What OpenQASM 3's modifiers ``ctrl``, ``negctrl``, ``inv`` and ``pow`` make of a sequence of standard gates.

Controls and inverses go through a product gate by gate, so each rule is one of linear algebra on one or two qubits and holds for
angles with free parameters too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qiskit.circuit import Barrier, Gate, ParameterExpression
from qiskit.circuit.library import (
    CPhaseGate,
    CRXGate,
    CRYGate,
    CRZGate,
    CUGate,
    GlobalPhaseGate,
    HGate,
    PhaseGate,
    RXGate,
    RYGate,
    RZGate,
    SdgGate,
    SGate,
    UGate,
    UnitaryGate,
    XGate,
    ZGate,
)
from qiskit.quantum_info import Operator

from qgan_qiskit.circuits.qasm.standard_gates import LARGEST, Step, circuit_of, steps_of, too_large
from qgan_qiskit.errors import CircuitError

_PHASES = {"z": math.pi, "s": math.pi / 2, "sdg": -math.pi / 2, "t": math.pi / 4, "tdg": -math.pi / 4}
# pow(k) of these is the same gate by k times the angle.
_ROTATIONS = (RXGate, RYGate, RZGate, PhaseGate, CRXGate, CRYGate, CRZGate, CPhaseGate, GlobalPhaseGate)
# The matrix of a fractional power has 4**n entries.
_LARGEST_POWER = 6


def inverted(steps: Sequence[Step]) -> list[Step]:
    """Return the inverse of a sequence."""
    return [
        step
        for gate, qubits in reversed(steps)
        for step in steps_of(gate if isinstance(gate, Barrier) else gate.inverse(), qubits)
    ]


def controlled(steps: Sequence[Step], controls: Sequence[int], closed: bool) -> list[Step]:
    """Return a sequence that happens where all controls are 1 (closed), or where all are 0."""
    flips: list[Step] = [] if closed else [(XGate(), (qubit,)) for qubit in controls]
    inner = [
        step
        for gate, qubits in steps
        for made in _controlled(gate, qubits, tuple(controls))
        for step in steps_of(made[0], made[1])
    ]
    return [*flips, *inner, *flips]


def powered(steps: Sequence[Step], exponent: float) -> list[Step]:
    """Return a sequence to a power: repeated if it is whole, else the principal power.

    Raises:
        CircuitError: a fractional power of more than one gate with free parameters, or of many qubits.
    """
    if len(steps) == 1 and isinstance(steps[0][0], _ROTATIONS):
        gate, qubits = steps[0]
        return [(type(gate)(gate.params[0] * exponent), qubits)]
    if float(exponent).is_integer():
        if len(steps) * abs(exponent) > LARGEST:
            raise too_large()
        return list(steps if exponent >= 0 else inverted(steps)) * abs(int(exponent))
    if any(isinstance(angle, ParameterExpression) for gate, _ in steps for angle in gate.params):
        raise CircuitError(f"pow({exponent}) of a gate with free parameters has no closed form; write it out")
    qubits = tuple(sorted({qubit for _, touched in steps for qubit in touched}))
    if len(qubits) > _LARGEST_POWER:
        raise CircuitError(f"pow({exponent}) is of a gate on {len(qubits)} qubits; write it out")
    if not qubits:
        return [(GlobalPhaseGate(exponent * sum(gate.params[0] for gate, _ in steps)), ())]
    matrix = Operator(circuit_of([(gate, tuple(map(qubits.index, touched))) for gate, touched in steps], len(qubits)))
    return list(steps_of(UnitaryGate(matrix.power(exponent)), qubits))


def _controlled(gate: Gate, qubits: tuple[int, ...], controls: tuple[int, ...]) -> list[Step]:
    """Return a standard gate with closed controls, as gates that Qiskit has a definition of."""
    if isinstance(gate, Barrier) or gate.name == "id":
        return [(gate, qubits)]
    if isinstance(gate, GlobalPhaseGate):
        return _phase(gate.params[0], controls)
    if isinstance(gate, CUGate):
        *angles, phase = gate.params
        control, target = qubits
        return [*_phase(phase, (*controls, control)), *_controlled(UGate(*angles), (target,), (*controls, control))]
    own = getattr(gate, "num_ctrl_qubits", 0)
    if own:
        return _controlled(gate.base_gate, qubits[own:], (*controls, *qubits[:own]))
    if gate.name == "swap":
        first, second = qubits
        flip: Step = (XGate().control(1), (second, first))
        return [flip, (XGate().control(len(controls) + 1), (*controls, first, second)), flip]
    return _controlled_on_one(gate, qubits[0], controls)


def _controlled_on_one(gate: Gate, target: int, controls: tuple[int, ...]) -> list[Step]:
    name, angles = gate.name, gate.params
    if len(controls) == 1 and name in ("x", "y", "z", "h", "p", "rx", "ry", "rz"):
        return [(gate.control(1, annotated=False), (*controls, target))]
    flip: Step = (XGate().control(len(controls)), (*controls, target))
    match name:
        case "x":
            return [flip]
        case "y":
            return [(SdgGate(), (target,)), flip, (SGate(), (target,))]
        case "h":
            turn = math.pi / 4
            return [
                (RYGate(-turn), (target,)),
                *_controlled_on_one(ZGate(), target, controls),
                (RYGate(turn), (target,)),
            ]
        case "z" | "s" | "sdg" | "t" | "tdg":
            return _phase(_PHASES[name], (*controls, target))
        case "p" | "u1":
            return _phase(angles[0], (*controls, target))
        case "sx":
            return [(HGate(), (target,)), *_phase(math.pi / 2, (*controls, target)), (HGate(), (target,))]
        case "ry" | "rz":
            half = angles[0] / 2
            return [(type(gate)(half), (target,)), flip, (type(gate)(-half), (target,)), flip]
        case "rx":
            return [
                (HGate(), (target,)),
                *_controlled_on_one(RZGate(angles[0]), target, controls),
                (HGate(), (target,)),
            ]
        case "u" | "u3" | "u2":
            theta, phi, lam = (math.pi / 2, *angles) if name == "u2" else angles
            if len(controls) == 1:
                return [(CUGate(theta, phi, lam, 0), (*controls, target))]
            every = (*controls, target)
            return [*_phase(lam, every), *_controlled_on_one(RYGate(theta), target, controls), *_phase(phi, every)]
    raise CircuitError(f"gate '{name}' cannot be controlled; write it out")


def _phase(angle: ParameterExpression | float, qubits: tuple[int, ...]) -> list[Step]:
    """Return the gate that gives the state with all qubits 1 a phase."""
    gate = PhaseGate(angle)
    return [(gate if len(qubits) == 1 else gate.control(len(qubits) - 1, annotated=False), qubits)]

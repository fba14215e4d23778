"""Random parameterized circuits and observables, for comparison with independent simulators."""

import numpy as np
from qiskit.circuit import ControlledGate, Gate, Parameter, QuantumCircuit
from qiskit.circuit import library as gates
from qiskit.quantum_info import SparsePauliOp, random_unitary

ONE_ROTATION = ("rx", "ry", "rz", "p")
ONE_FIXED = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg")
TWO_FIXED = ("cx", "cz", "cy", "ch", "swap", "iswap", "ecr", "dcx", "csx")
TWO_ROTATION = ("rxx", "ryy", "rzz", "rzx", "crx", "cry", "crz", "cp")

# Every unitary gate that Qiskit calls standard, by name: all but delay, measure and reset.
STANDARD = {name: gate for name, gate in gates.get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}
# Name -> (qubits, how to make it of an angle source and a generator): gates of any size, and gates made of numbers or gates.
LIBRARY = {
    "c3x": (4, lambda angle, rng: gates.C3XGate(ctrl_state=int(rng.integers(8)))),
    "c4x": (5, lambda angle, rng: gates.C4XGate(ctrl_state=int(rng.integers(16)))),
    "mcx": (6, lambda angle, rng: gates.MCXGate(5, ctrl_state=int(rng.integers(32)))),
    "mcphase": (4, lambda angle, rng: gates.MCPhaseGate(angle(), 3, ctrl_state=int(rng.integers(8)))),
    "mcrx": (3, lambda angle, rng: gates.RXGate(angle()).control(2, ctrl_state=int(rng.integers(4)), annotated=False)),
    "mcry": (3, lambda angle, rng: gates.RYGate(angle()).control(2, annotated=False)),
    "mcrz": (4, lambda angle, rng: gates.RZGate(angle()).control(3, annotated=False)),
    "ccu": (3, lambda angle, rng: gates.UGate(angle(), angle(), angle()).control(2, annotated=False)),
    "crzz": (3, lambda angle, rng: gates.RZZGate(angle()).control(1, annotated=False)),
    "inverse": (2, lambda angle, rng: gates.XXPlusYYGate(angle(), angle()).inverse()),
    "power": (2, lambda angle, rng: gates.iSwapGate().power(0.5)),
    "rv": (1, lambda angle, rng: gates.RVGate(*rng.normal(size=3))),
    "unitary": (1, lambda angle, rng: gates.UnitaryGate(random_unitary(2, seed=rng))),
    "unitary2": (2, lambda angle, rng: gates.UnitaryGate(random_unitary(4, seed=rng))),
    "pauli": (3, lambda angle, rng: gates.PauliGate("".join("IXYZ"[i] for i in rng.integers(4, size=3)))),
    "permutation": (4, lambda angle, rng: gates.PermutationGate(rng.permutation(4).tolist())),
    "diagonal": (3, lambda angle, rng: gates.DiagonalGate(np.exp(1j * rng.normal(size=8)).tolist())),
    "qft": (3, lambda angle, rng: gates.QFTGate(3)),
    "evolution": (3, lambda angle, rng: gates.PauliEvolutionGate(SparsePauliOp("XZY", 0.7), angle())),
    "own": (2, lambda angle, rng: _own_gate(angle)),
    "own_controlled": (
        3,
        lambda angle, rng: _own_gate(angle).control(1, ctrl_state=int(rng.integers(2)), annotated=False),
    ),
    "barrier": (1, lambda angle, rng: gates.Barrier(1)),
}


def random_circuit(rng, max_qubits=6, max_gates=25, real=False):
    """Return (circuit, parameters): every standard kind of gate, affine angles, repeated parameters, barriers, sub-gates."""
    qubits = int(rng.integers(1, max_qubits + 1))
    circuit = QuantumCircuit(qubits, global_phase=float(rng.uniform(0, 6)))
    parameters = [Parameter(f"t_{i:03d}") for i in range(int(rng.integers(1, 6)))]
    for _ in range(int(rng.integers(1, max_gates + 1))):
        _append(rng, circuit, parameters, real)
    if not circuit.parameters:
        circuit.ry(parameters[0], 0)
    return circuit, list(circuit.parameters)


def _append(rng, circuit, parameters, real):
    qubits = circuit.num_qubits
    chosen = [int(q) for q in rng.permutation(qubits)]
    if real:
        kinds = ["ry", "h", "x", "z"] + (["cx", "cz", "swap", "cry"] if qubits > 1 else [])
    else:
        kinds = ["rotation", "fixed", "u", "barrier", "unitary"]
        kinds += ["two", "two_rotation", "gate", "unitary2"] * (qubits > 1) + ["ccx", "cswap", "rccx"] * (qubits > 2)
    kind = kinds[rng.integers(len(kinds))]
    match kind:
        case "rotation":
            getattr(circuit, ONE_ROTATION[rng.integers(len(ONE_ROTATION))])(angle(rng, parameters), chosen[0])
        case "fixed":
            getattr(circuit, ONE_FIXED[rng.integers(len(ONE_FIXED))])(chosen[0])
        case "u":
            circuit.u(angle(rng, parameters), angle(rng, parameters), angle(rng, parameters), chosen[0])
        case "barrier":
            circuit.barrier()
        case "unitary":
            circuit.unitary(random_unitary(2, seed=rng), [chosen[0]])
        case "unitary2":
            circuit.unitary(random_unitary(4, seed=rng), chosen[:2])
        case "two":
            getattr(circuit, TWO_FIXED[rng.integers(len(TWO_FIXED))])(*chosen[:2])
        case "two_rotation":
            getattr(circuit, TWO_ROTATION[rng.integers(len(TWO_ROTATION))])(angle(rng, parameters), *chosen[:2])
        case "gate":
            inner = QuantumCircuit(2, name="inner")
            inner.ry(angle(rng, parameters), 0)
            inner.append(gates.XGate().control(1, ctrl_state=int(rng.integers(2))), [0, 1])
            circuit.append(inner.to_gate(), chosen[:2])
        case "ccx" | "cswap" | "rccx":
            getattr(circuit, kind)(*chosen[:3])
        case "ry":
            circuit.ry(angle(rng, parameters), chosen[0])
        case "cry":
            circuit.cry(angle(rng, parameters), *chosen[:2])
        case "h" | "x" | "z":
            getattr(circuit, kind)(chosen[0])
        case _:
            getattr(circuit, kind)(*chosen[:2])


def any_gate_circuit(rng, wanted, max_qubits=6, max_gates=5):
    """Return (circuit, parameters) with the gate ``wanted`` and others, of all names in ``STANDARD`` and ``LIBRARY``.

    Angles are numbers, parameters or sums, from few parameters, so that the same one (an input, too) stands in many places.
    Controls are open or closed. The global phase is a number or holds a parameter.
    """
    least = _width(wanted)
    qubits = max(least, int(rng.integers(1, max_qubits + 1)))
    parameters = [Parameter(f"t_{i:03d}") for i in range(int(rng.integers(1, 6)))]
    fitting = [name for name in (*STANDARD, *LIBRARY) if _width(name) <= qubits]
    names = [fitting[i] for i in rng.integers(len(fitting), size=int(rng.integers(1, max_gates + 1)))]
    names.insert(int(rng.integers(len(names) + 1)), wanted)
    circuit = QuantumCircuit(qubits)
    # A layer of input-dependent angles at the start, so that no gate meets a mere |0>.
    for qubit in range(qubits):
        circuit.ry(angle(rng, parameters), qubit)
    for name in names:
        circuit.append(_gate(rng, name, parameters), rng.permutation(qubits)[: _width(name)].tolist())
    if not circuit.parameters:
        circuit.ry(parameters[0], 0)
    circuit.global_phase = float(rng.uniform(0, 6)) + (circuit.parameters[0] if rng.integers(4) == 0 else 0)
    return circuit, list(circuit.parameters)


def _width(name):
    return LIBRARY[name][0] if name in LIBRARY else STANDARD[name].num_qubits


def _gate(rng, name, parameters):
    if name in LIBRARY:
        return LIBRARY[name][1](lambda: angle(rng, parameters), rng)
    standard = STANDARD[name]
    only_numbers = rng.integers(4) == 0
    angles = [float(rng.uniform(-4, 4)) if only_numbers else angle(rng, parameters) for _ in standard.params]
    if isinstance(standard, ControlledGate):
        return standard.base_class(*angles, ctrl_state=int(rng.integers(2**standard.num_ctrl_qubits)))
    return standard.base_class(*angles)


def _own_gate(angle):
    """A gate of the user's own around another one, with global phases that matter once it is controlled."""
    inner = QuantumCircuit(1, name="inner", global_phase=0.4)
    inner.rx(angle(), 0)
    inner.s(0)
    outer = QuantumCircuit(2, name="outer", global_phase=1.1)
    outer.append(inner.to_gate(), [1])
    outer.cry(angle(), 1, 0)
    outer.append(inner.to_gate(), [0])
    return outer.to_gate()


def angle(rng, parameters):
    """Return an affine angle: a number, a parameter, or a sum of both."""
    which = rng.integers(4)
    first = parameters[rng.integers(len(parameters))]
    if which == 0:
        return float(rng.uniform(-4, 4))
    if which == 1:
        return first
    second = parameters[rng.integers(len(parameters))]
    return float(rng.uniform(-2, 2)) * first - second / 3 + float(rng.uniform(-1, 1))


def random_observables(rng, qubits, letters="IXYZ"):
    """Return one to four Pauli sums; often with clashing letters, sometimes all in one basis."""
    if rng.integers(3) == 0:
        basis = [letters[rng.integers(1, len(letters))] for _ in range(qubits)]
        pick = lambda q: "I" if rng.integers(2) else basis[q]  # noqa: E731
    else:
        pick = lambda _q: letters[rng.integers(len(letters))]  # noqa: E731
    observables = []
    for _ in range(int(rng.integers(1, 5))):
        count = int(rng.integers(1, 4))
        labels = ["".join(pick(q) for q in range(qubits)) for _ in range(count)]
        observables.append(SparsePauliOp(labels, rng.uniform(-1, 1, count)))
    return observables


def split(rng, parameters):
    """Split parameters at random into inputs and weights."""
    mask = rng.integers(2, size=len(parameters)).astype(bool)
    return [p for p, m in zip(parameters, mask, strict=True) if m], [
        p for p, m in zip(parameters, mask, strict=True) if not m
    ]


def values(rng, *shape):
    """Return angles in radians."""
    return rng.uniform(-np.pi, np.pi, shape)

"""Random parametrised circuits and observables, for comparison with independent simulators."""

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.circuit import library as gates
from qiskit.quantum_info import SparsePauliOp, random_unitary

ONE_ROTATION = ("rx", "ry", "rz", "p")
ONE_FIXED = ("h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg")
TWO_FIXED = ("cx", "cz", "cy", "ch", "swap", "iswap", "ecr", "dcx", "csx")
TWO_ROTATION = ("rxx", "ryy", "rzz", "rzx", "crx", "cry", "crz", "cp")


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

"""What the engine is compared with: other people's simulators, parameter shifts and finite differences.

Shape letters: B images · P instances · Q inputs · K weights · O observables.
"""

import warnings
from functools import cache

import numpy as np
import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import StatevectorEstimator
from qiskit.quantum_info import Statevector
from qiskit.transpiler import generate_preset_pass_manager


def engine_values(engine, x_BPQ, w_PK):
    """Expectations (B, P, O) of one of our engines."""
    with torch.no_grad():
        return engine.expectations(*(torch.tensor(angles, dtype=engine.dtype) for angles in (x_BPQ, w_PK))).numpy()


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def statevector_values(circuit, inputs, weights, observables, x_BPQ, w_PK):
    """Expectations (B, P, O) by Qiskit's Statevector, one at a time."""
    out = np.zeros((*x_BPQ.shape[:2], len(observables)))
    for b, p in np.ndindex(x_BPQ.shape[:2]):
        state = Statevector(circuit.assign_parameters(_binding(inputs, weights, x_BPQ[b, p], w_PK[p])))
        out[b, p] = [state.expectation_value(o).real for o in observables]
    return out


def stock_qnn_values(circuit, inputs, weights, observables, x_BPQ, w_PK):
    """Expectations (B, P, O) by an EstimatorQNN on Qiskit's StatevectorEstimator, one network per instance."""
    from qiskit_machine_learning.neural_networks import EstimatorQNN

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        qnn = EstimatorQNN(
            circuit=circuit,
            estimator=StatevectorEstimator(),
            observables=list(observables),
            input_params=inputs,
            weight_params=weights,
            default_precision=0.0,  # Anything else is noise that the estimator adds.
        )
    return np.stack([qnn.forward(x_BPQ[:, p], w_K) for p, w_K in enumerate(w_PK)], axis=1)


def aer_values(circuit, inputs, weights, observables, x_BPQ, w_PK):
    """Expectations (B, P, O) by qiskit-aer's EstimatorV2, exact because its precision is 0.

    Angles are bound by Qiskit, because Aer's own binding passes over controlled rotations (its issues 2323 and 2403).
    """
    estimator, to_known_gates = _aer()
    known = to_known_gates.run(circuit)
    pubs = [
        (known.assign_parameters(_binding(inputs, weights, x_BPQ[b, p], w_PK[p])), list(observables))
        for b, p in np.ndindex(x_BPQ.shape[:2])
    ]
    evs = [result.data.evs for result in estimator.run(pubs).result()]
    return np.reshape(evs, (*x_BPQ.shape[:2], len(observables)))


@cache
def _aer():
    from qiskit_aer import AerSimulator
    from qiskit_aer.primitives import EstimatorV2

    options = {"method": "statevector", "precision": "double"}
    estimator = EstimatorV2(options={"default_precision": 0.0, "backend_options": options})
    return estimator, generate_preset_pass_manager(0, AerSimulator(**options))


def parameter_shift(circuit, inputs, weights, observables, x_BPQ, w_PK, cotangent_BPO):
    """Gradient of sum(cotangent * values) by shifting every *gate angle*: exact, and independent of the engine's backward.

    Each parameterized one-qubit rotation of the transpiled circuit gets an angle of its own; the chain rule is Qiskit's.
    """
    basis = _to_rotations().run(circuit)
    parameters = [*inputs, *weights]
    own = QuantumCircuit(basis.num_qubits)
    angles = []
    for item in basis.data:
        qubits = [basis.find_bit(q).index for q in item.qubits]
        if not item.operation.params:
            own.append(item.operation, qubits)
            continue
        expression = item.operation.params[0]
        free = getattr(expression, "parameters", set())
        gradient = [expression.gradient(p) if p in free else 0.0 for p in parameters]
        angle = Parameter(f"g_{len(angles):04d}")
        angles.append((expression, gradient))
        getattr(own, item.operation.name)(angle, qubits[0])
    grad_x, grad_w = np.zeros_like(x_BPQ), np.zeros_like(w_PK)
    for b, p in np.ndindex(x_BPQ.shape[:2]):
        binding = _binding(inputs, weights, x_BPQ[b, p], w_PK[p])
        base = [_number(expression, binding) for expression, _ in angles]
        total = np.zeros(len(parameters))
        for number, (_, gradient) in enumerate(angles):
            slopes = np.array([_number(slope, binding) for slope in gradient])
            if not slopes.any():
                continue
            shifted = []
            for sign in (1, -1):
                moved = list(base)
                moved[number] += sign * np.pi / 2
                state = Statevector(own.assign_parameters(moved))
                values_O = [state.expectation_value(o).real for o in observables]
                shifted.append(cotangent_BPO[b, p] @ values_O)
            total += (shifted[0] - shifted[1]) / 2 * slopes
        grad_x[b, p] += total[: len(inputs)]
        grad_w[p] += total[len(inputs) :]
    return grad_x, grad_w


@cache
def _to_rotations():
    return generate_preset_pass_manager(0, basis_gates=["rx", "ry", "rz", "cx"])


def slope_along(loss, x, w, direction_x, direction_w):
    """Slope of ``loss(x, w)`` along a direction by sixth-order central differences: one number checks every derivative."""
    h = 1e-2 / max(1.0, np.abs(direction_x).max(initial=0), np.abs(direction_w).max(initial=0))
    at = {k: loss(x + k * h * direction_x, w + k * h * direction_w) for k in (-3, -2, -1, 1, 2, 3)}
    return (45 * (at[1] - at[-1]) - 9 * (at[2] - at[-2]) + (at[3] - at[-3])) / (60 * h)


def _binding(inputs, weights, x_Q, w_K):
    return dict(zip([*inputs, *weights], [*x_Q, *w_K], strict=True))


def _number(expression, binding):
    if not getattr(expression, "parameters", None):
        return float(expression)
    return float(expression.bind({p: binding[p] for p in expression.parameters}))

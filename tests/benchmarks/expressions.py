"""What angles that are not affine cost: a ZZ feature map beside the same circuit with affine angles, in one run."""

import itertools
import math
import time
from collections.abc import Collection
from typing import cast

import numpy as np
import sympy
import torch
from progress import say
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import real_amplitudes, zz_feature_map
from qiskit.quantum_info import SparsePauliOp
from timing import beside, first_call, measure

from qgan_qiskit.circuits.parameter_expressions import Expression, angle_form
from qgan_qiskit.simulation.engine_cache import ExpressionColumns, engine_for

TARGET_RATIO = 3


def run(tiny: bool, skip: Collection[str]) -> dict:
    """Return the figures of the part ``expressions``: seconds forward and backward, and their ratio."""
    qubits, reps, batch = (3, 1, 8) if tiny else (10, 6, 64)
    ours, affine = (_step(m, reps, batch) for m in (zz_feature_map(qubits), _affine_map(qubits)))
    first_call(ours), first_call(affine)
    pair = beside(lambda: measure(ours), lambda: measure(affine))
    ratio = pair.ours / pair.rival.seconds
    say(f"zz_feature_map({qubits}): {ratio:.2f}x the time of affine angles")
    found = {"seconds": pair.ours, "affine_seconds": pair.rival.seconds, "ratio": ratio, "target": TARGET_RATIO}
    return {**found, "ways": _ways(qubits, batch)}


def _ways(qubits: int, batch: int) -> dict[str, dict[str, float]]:
    """Return the seconds that ways to evaluate the pair angles and all their derivatives take, and to prepare for it."""
    feature_map = zz_feature_map(qubits, reps=1)
    parameters = list(feature_map.parameters)
    angles = [angle for item in feature_map.data for angle in item.operation.params if len(angle.parameters) == 2]
    values = np.random.default_rng(0).random((batch, len(parameters)))

    def ours():
        columns = ExpressionColumns([cast(Expression, angle_form(angle)) for angle in angles], parameters)
        return lambda: _backward(columns)

    def _backward(function):
        x = torch.tensor(values, requires_grad=True)
        function(x).sum().backward()

    def symbols():
        return [parameter.sympify() for parameter in parameters], [angle.sympify() for angle in angles]

    def lambdify_torch():
        names, forms = symbols()
        function = sympy.lambdify(names, forms, modules="torch", cse=True)
        return lambda: _backward(lambda x: torch.stack(list(function(*x.T))))

    def lambdify_numpy():
        names, forms = symbols()
        function = sympy.lambdify(names, forms, modules="numpy", cse=True)
        slopes = [[sympy.diff(form, name) for name in form.free_symbols] for form in forms]
        derivative = sympy.lambdify(names, slopes, modules="numpy", cse=True)
        return lambda: (function(*values.T), derivative(*values.T))

    def bind():
        slopes = [[angle.gradient(parameter) for parameter in angle.parameters] for angle in angles]

        def evaluate():
            for row in values:
                numbers = dict(zip(parameters, row, strict=True))
                for form in (form for angle, both in zip(angles, slopes, strict=True) for form in (angle, *both)):
                    form.bind({parameter: numbers[parameter] for parameter in form.parameters}).numeric()

        return evaluate

    found = {}
    for way in (ours, lambdify_torch, lambdify_numpy, bind):
        begun = time.perf_counter()
        evaluate = way()
        prepared = time.perf_counter() - begun
        evaluate()
        found[way.__name__] = {"prepare_seconds": prepared, "seconds": measure(evaluate).seconds}
    return found


def _step(feature_map: QuantumCircuit, reps: int, batch: int):
    qubits = feature_map.num_qubits
    ansatz = real_amplitudes(qubits, reps=reps)
    observables = [SparsePauliOp.from_sparse_list([("Z", [qubit], 1)], qubits) for qubit in range(qubits)]
    inputs, weights = list(feature_map.parameters), list(ansatz.parameters)
    engine = engine_for(feature_map.compose(ansatz), inputs, weights, observables, torch.float32)
    x_BPQ = torch.rand(batch, 1, len(inputs), requires_grad=True)
    w_PK = torch.rand(1, len(weights), requires_grad=True)
    return lambda: engine.expectations(x_BPQ, w_PK).sum().backward()


def _affine_map(qubits: int) -> QuantumCircuit:
    """The gates of ``zz_feature_map`` with the sum of two inputs in place of their product."""
    x = ParameterVector("x", qubits)
    circuit = QuantumCircuit(qubits)
    for _ in range(2):
        circuit.h(range(qubits))
        for qubit in range(qubits):
            circuit.p(2 * x[qubit], qubit)
        for i, j in itertools.combinations(range(qubits), 2):
            circuit.cx(i, j)
            circuit.p(2 * (math.pi - x[i] - x[j]), j)
            circuit.cx(i, j)
    return circuit

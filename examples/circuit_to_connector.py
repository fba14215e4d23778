"""From a Qiskit circuit to a trainable torch module, first by hand and then for all sub-generators at once.

A sub-generator of HybridQ is an ordinary Qiskit circuit with inputs (data), weights (trained) and observables (measured).
This program walks from that circuit to the module that the model trains, and checks every step against Qiskit itself:

1. build HybridQ's circuit and print its drawing;
2. put it into Qiskit Machine Learning's ``EstimatorQNN``, on this library's exact estimator and adjoint gradient;
3. compare the expectations with ``qiskit.quantum_info.Statevector``;
4. compare the gradients with Qiskit's own default, the parameter-shift rule;
5. wrap the QNN in a ``TorchConnector``, so that torch trains it;
6. let ``SubGenerators`` hold several connectors and evaluate all of them together, and see that nothing changed.

Run it with ``python examples/circuit_to_connector.py``.

Shape letters: B batch · P sub-generators · Q inputs of one circuit · O observables · K weights of one circuit.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from qiskit.quantum_info import Statevector
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qgan_qiskit.circuits import CircuitSpec, circuit_resources, hybridq_ansatz
from qgan_qiskit.qnn import SubGenerators
from qgan_qiskit.simulation import AdjointEstimatorGradient, ExactEstimator


def exact_qnn(ansatz: CircuitSpec) -> EstimatorQNN:
    """Return Qiskit's QNN of an ansatz, evaluated and differentiated by this library.

    ``input_gradients=True`` matters: without it whatever stands before the circuit gets no gradient through it.
    """
    return EstimatorQNN(
        circuit=ansatz.circuit,
        estimator=ExactEstimator(),
        gradient=AdjointEstimatorGradient(),
        observables=list(ansatz.observables),
        input_params=list(ansatz.input_parameters),
        weight_params=list(ansatz.weight_parameters),
        input_gradients=True,
    )


def stock_qnn(ansatz: CircuitSpec) -> EstimatorQNN:
    """Return the same QNN with everything that this library provides left at Qiskit's default."""
    with warnings.catch_warnings():
        # Qiskit Machine Learning warns that it was given neither an estimator nor a pass manager; that is the point here.
        warnings.simplefilter("ignore")
        return EstimatorQNN(
            circuit=ansatz.circuit,
            observables=list(ansatz.observables),
            input_params=list(ansatz.input_parameters),
            weight_params=list(ansatz.weight_parameters),
            input_gradients=True,
        )


def statevector_expectations(ansatz: CircuitSpec, inputs_BQ: np.ndarray, weights_K: np.ndarray) -> np.ndarray:
    """Return the expectations (B, O), one image and one observable after the other, with Qiskit's Statevector."""
    rows = []
    for inputs_Q in inputs_BQ:
        angles = dict(zip(ansatz.input_parameters, inputs_Q, strict=True))
        angles |= dict(zip(ansatz.weight_parameters, weights_K, strict=True))
        state = Statevector(ansatz.circuit.assign_parameters(angles))
        rows.append([state.expectation_value(observable).real for observable in ansatz.observables])
    return np.array(rows)


def compare_with_qiskit(ansatz: CircuitSpec, inputs_BQ: np.ndarray, weights_K: np.ndarray) -> dict[str, float]:
    """Return the largest differences between this library and Qiskit: of values, input and weight gradients."""
    ours, stock = exact_qnn(ansatz), stock_qnn(ansatz)
    values_BO = ours.forward(inputs_BQ, weights_K)
    expected_BO = statevector_expectations(ansatz, inputs_BQ, weights_K)
    our_inputs_BOQ, our_weights_BOK = ours.backward(inputs_BQ, weights_K)
    inputs_BOQ, weights_BOK = stock.backward(inputs_BQ, weights_K)
    return {
        "values": float(np.abs(values_BO - expected_BO).max()),
        "input gradients": float(np.abs(our_inputs_BOQ - inputs_BOQ).max()),
        "weight gradients": float(np.abs(our_weights_BOK - weights_BOK).max()),
    }


def train_a_little(ansatz: CircuitSpec, inputs_BQ: torch.Tensor, weights_K: np.ndarray, steps: int) -> list[float]:
    """Pull every expectation toward 1 with Adam, through a TorchConnector, and return the losses."""
    connector = TorchConnector(exact_qnn(ansatz), initial_weights=weights_K)
    optimizer = torch.optim.Adam(connector.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        loss = (1 - connector(inputs_BQ)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def compare_together(ansatz: CircuitSpec, count: int, angles_BPQ: torch.Tensor, seed: int) -> dict[str, float]:
    """Evaluate P connectors one by one and all at once; return the largest differences of values and gradients."""
    together = SubGenerators(ansatz, count, generator=torch.Generator().manual_seed(seed))
    # The same weights in connectors made by hand.
    by_hand = [
        TorchConnector(exact_qnn(ansatz), initial_weights=connector.weight.detach().numpy())
        for connector in together.connectors
    ]
    values_BPO = together(angles_BPQ)
    expected_BPO = torch.stack([connector(angles_BPQ[:, p]) for p, connector in enumerate(by_hand)], dim=1)
    # Any scalar will do for a gradient; the sum of squares makes every expectation count differently.
    values_BPO.square().sum().backward()
    expected_BPO.square().sum().backward()
    gradients = [
        (one.weight.grad - other.weight.grad).abs().max()
        for one, other in zip(together.connectors, by_hand, strict=True)
    ]
    values = (values_BPO - expected_BPO).detach().abs().max()
    return {"values": values.item(), "weight gradients": max(gradients).item()}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the six steps and print what each of them shows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--num-qubits", type=int, default=4, help="qubits of the circuit (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=2, help="layers of the ansatz (default: %(default)s)")
    parser.add_argument("--count", type=int, default=3, help="sub-generators (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=5, help="images in a batch (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="training steps of step 5 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of angles and weights (default: %(default)s)")
    arguments = parser.parse_args(argv)
    rng = np.random.default_rng(arguments.seed)

    ansatz = hybridq_ansatz(arguments.num_qubits, arguments.reps)
    metrics = circuit_resources(ansatz.circuit)
    print(f"1. {ansatz.name}: {ansatz.num_inputs} inputs, {ansatz.num_weights} weights, depth {metrics.depth}")
    print(ansatz.circuit.draw("text", fold=100))

    qnn = exact_qnn(ansatz)
    print(f"2. EstimatorQNN with {qnn.num_inputs} inputs, {qnn.num_weights} weights and outputs {qnn.output_shape}")

    inputs_BQ = rng.uniform(0, np.pi, (arguments.batch, ansatz.num_inputs))
    weights_K = rng.uniform(-np.pi, np.pi, ansatz.num_weights)
    differences = compare_with_qiskit(ansatz, inputs_BQ, weights_K)
    print(f"3. values against Statevector: largest difference {differences['values']:.0e}")
    for name in ("input gradients", "weight gradients"):
        print(f"4. {name} against the parameter shift: largest difference {differences[name]:.0e}")

    losses = train_a_little(ansatz, torch.tensor(inputs_BQ, dtype=torch.float32), weights_K, arguments.steps)
    print(f"5. TorchConnector: loss {losses[0]:.3f} before, {losses[-1]:.3f} after {arguments.steps} steps of Adam")

    angles_BPQ = torch.tensor(rng.uniform(0, np.pi, (arguments.batch, arguments.count, ansatz.num_inputs)))
    together = compare_together(ansatz, arguments.count, angles_BPQ.float(), arguments.seed)
    for name, difference in together.items():
        print(f"6. {arguments.count} connectors at once or one by one, {name}: largest difference {difference:.0e}")


if __name__ == "__main__":
    main()

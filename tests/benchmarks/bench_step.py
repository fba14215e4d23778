"""What one generator step of HybridQ costs on each simulator, in one run on one machine.

The step: 10 sub-generators x 10 qubits x 6 layers, 10 expectations each, batch 64, forward, and backward to inputs and
weights. Run with ``make bench``; ``--json FILE`` keeps the figures.
"""

import argparse
import json
import math
import platform
import statistics
from functools import partial
from importlib import metadata

import torch
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.neural_networks import EstimatorQNN
from timing import median_seconds

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.models import build
from qgan_qiskit.presets import hybridq_default
from qgan_qiskit.qnn import SubGenerators
from qgan_qiskit.training.compute import gains_from_bfloat16, keep_freed_memory, place
from qgan_qiskit.training.randomness import seeded
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step

P, Q, REPS, B = 10, 10, 6, 64


def forward_backward(function, angles, cotangent):
    """Return a call that runs a function of the angles forward and backward."""

    def work():
        angles.grad = None
        function(angles).backward(cotangent)

    return work


def fused_step():
    """Return a call that runs one step of the fused path (float32)."""
    module = SubGenerators(hybridq_ansatz(Q, REPS), P, generator=seeded(0))
    angles = (torch.rand(B, P, Q, generator=seeded(1)) * math.pi).requires_grad_()
    return forward_backward(module, angles, torch.randn(B, P, Q, generator=seeded(2)))


def connectors():
    """Return the seconds of EstimatorQNN + TorchConnector on ExactEstimator, one connector measured, times P."""
    module = SubGenerators(hybridq_ansatz(Q, REPS), 1, generator=seeded(0))
    angles = (torch.rand(B, Q, generator=seeded(1)) * math.pi).requires_grad_()
    work = forward_backward(module.connectors[0], angles, torch.randn(B, Q, generator=seeded(2)))
    return P * median_seconds(work, runs=3, warm_up=1)


def stock():
    """Return the seconds of stock EstimatorQNN + TorchConnector: one image through one circuit, times B x P."""
    ansatz = hybridq_ansatz(Q, REPS)
    qnn = EstimatorQNN(
        circuit=ansatz.circuit,
        observables=list(ansatz.observables),
        input_params=list(ansatz.input_parameters),
        weight_params=list(ansatz.weight_parameters),
        input_gradients=True,
    )
    angles = torch.rand(1, Q, generator=seeded(1)).requires_grad_()
    work = forward_backward(TorchConnector(qnn), angles, torch.ones(1, Q))
    return B * P * median_seconds(work, runs=2, warm_up=1)


def pennylane(device, method, images):
    """Return the seconds of a PennyLane QNode: ``images`` of the batch through one circuit, scaled to B x P."""
    import pennylane as qml

    @qml.qnode(qml.device(device, wires=Q), interface="torch", diff_method=method)
    def circuit(inputs, weights):
        for qubit in range(Q):
            qml.RY(inputs[..., qubit], wires=qubit)
        for layer in range(REPS):
            for qubit in range(Q):
                qml.RY(weights[layer * Q + qubit], wires=qubit)
            for qubit in range(Q - 1):
                qml.CNOT(wires=[qubit, qubit + 1])
        return [qml.expval(qml.PauliZ(qubit)) for qubit in range(Q)]

    weights = torch.rand(REPS * Q, generator=seeded(0), dtype=torch.float64).requires_grad_()
    inputs = torch.rand(images, Q, generator=seeded(1), dtype=torch.float64).requires_grad_()

    def work():
        weights.grad = inputs.grad = None
        torch.stack(circuit(inputs, weights)).sum().backward()

    return P * B / images * median_seconds(work, runs=3, warm_up=1)


def training_step():
    """Return a call that runs a whole HybridQ training step of the default preset (both updates, batch 64, 64x64)."""
    config = hybridq_default()
    device = torch.device("cpu")
    generator, discriminator = build(config.model, config.data.resolution, seeded(0, "weights"))
    state = TrainingState.create(config, place(generator, device), place(discriminator, device))
    real = torch.rand(config.training.batch_size, 3, 64, 64, generator=seeded(3)) * 2 - 1
    return lambda: train_step(state, real, config.training)


def beside(ours, measure):
    """Measure our step right before and right after a rival: (our seconds, the rival's).

    The speed of a shared machine drifts by tens of per cent within a minute; only neighbours in time can be compared.
    """
    before = median_seconds(ours)
    rival = measure()
    return statistics.median([before, median_seconds(ours)]), rival


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--skip", default="", help="comma-separated rows to leave out: stock, pennylane, connectors")
    arguments = parser.parse_args()
    skip = arguments.skip.split(",")
    keep_freed_memory()
    ours = fused_step()
    rivals = {}
    if "connectors" not in skip:
        rivals["EstimatorQNN + TorchConnector on ExactEstimator (1 of 10 circuits measured)"] = connectors
    if "pennylane" not in skip:
        rivals["PennyLane default.qubit, broadcast, backprop (1 of 10 circuits measured)"] = partial(
            pennylane, "default.qubit", "backprop", B
        )
        rivals["PennyLane lightning.qubit, adjoint (8 images of 1 circuit measured)"] = partial(
            pennylane, "lightning.qubit", "adjoint", 8
        )
    if "stock" not in skip:
        rivals["stock EstimatorQNN + TorchConnector (1 image of 1 circuit measured)"] = stock
    rows = {name: beside(ours, measure) for name, measure in rivals.items()}
    step = training_step()
    pairs = [beside(ours, lambda: median_seconds(step, runs=3, warm_up=1)) for _ in range(4)]
    share = statistics.median(own / whole for own, whole in pairs)
    own = statistics.median([own for own, _ in rows.values()] + [own for own, _ in pairs])
    print(f"generator step, {P} sub-generators x {Q} qubits x {REPS} layers, batch {B}, forward + backward")
    print(f"{'':76} {'seconds':>10} {'ratio':>9}")
    print(f"{'fused path (SubGenerators, float32)':76} {own:10.4f} {1:8.0f}x")
    for name, (beside_it, seconds) in rows.items():
        print(f"{name:76} {seconds:10.4f} {seconds / beside_it:8.0f}x")
    whole = statistics.median(seconds for _, seconds in pairs)
    print(f"\nwhole HybridQ training step (default preset): {whole:.3f} s; quantum part {100 * share:.1f} %")
    libraries = ("torch", "qiskit", "qiskit-machine-learning", "pennylane", "pennylane-lightning")
    about = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "bfloat16": gains_from_bfloat16(torch.device("cpu")),
        "versions": {name: _version(name) for name in libraries},
    }
    print(json.dumps(about))
    if arguments.json:
        table = {name: {"seconds": t, "ours_beside_it": o, "ratio": t / o} for name, (o, t) in rows.items()}
        figures = {"fused_seconds": own, "rivals": table, "training_step_seconds": whole, "quantum_share": share}
        with open(arguments.json, "w") as file:  # noqa: PTH123
            json.dump(figures | about, file, indent=1)


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()

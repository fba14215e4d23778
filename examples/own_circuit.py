"""A circuit of your own as the sub-generator: built in Qiskit, written to OpenQASM 3, trained, and sampled.

HybridQ's model does not care which circuit turns angles into expectations. Here it is one that HybridQ does not have:

- *data re-uploading*: the same inputs enter before every layer, not only once at the start;
- RZZ and RX instead of CX and RY, so the amplitudes are complex;
- two kinds of observables: Z on every qubit and the correlation ZZ of neighbors.

The steps:

1. build the circuit with ``Parameter`` objects and wrap it in an ``CircuitSpec``, which checks it;
2. write it as an OpenQASM 3 file, and beside it metadata (JSON) with the observables;
3. read it back, as ``fit --ansatz FILE`` does, and see that the expectations have not changed;
4. train a HybridQ whose sub-generators are this circuit;
5. draw images from the run. The run folder has its own copy of the circuit, so your file may change afterwards.

Run it with ``python examples/own_circuit.py``. The same training from the command line, with the files it leaves:
``python -m qgan_qiskit.cli fit --ansatz my_circuits/reuploading.qasm``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.quantum_info import SparsePauliOp

from qgan_qiskit.circuits import (
    CircuitSpec,
    circuit_metadata,
    circuit_spec_to_qasm,
    metadata_text,
    read_circuit_spec,
)
from qgan_qiskit.config import DataConfig, HybridQConfig, RunConfig, TrainingConfig
from qgan_qiskit.console import log_to_stderr
from qgan_qiskit.qnn import SubGenerators
from qgan_qiskit.workflows.fit import fit
from qgan_qiskit.workflows.generate import Outputs, generate


def reuploading_ansatz(num_qubits: int, layers: int) -> CircuitSpec:
    """Return ``layers`` times [RY(x / layers) on each qubit, RZZ(theta) on neighbors, RX(theta) on each qubit].

    Angles may be any affine expression of the parameters, such as ``x / layers`` here. A parameter may stand in any number
    of gates.
    """
    inputs = [Parameter(f"x_{i:03d}") for i in range(num_qubits)]
    weights: list[Parameter] = []

    def weight() -> Parameter:
        weights.append(Parameter(f"theta_{len(weights):03d}"))
        return weights[-1]

    circuit = QuantumCircuit(num_qubits)
    for _ in range(layers):
        for qubit, angle in enumerate(inputs):
            circuit.ry(angle / layers, qubit)
        for qubit in range(num_qubits - 1):
            circuit.rzz(weight(), qubit, qubit + 1)
        for qubit in range(num_qubits):
            circuit.rx(weight(), qubit)

    alone = [SparsePauliOp.from_sparse_list([("Z", [q], 1.0)], num_qubits) for q in range(num_qubits)]
    pairs = [SparsePauliOp.from_sparse_list([("ZZ", [q, q + 1], 1.0)], num_qubits) for q in range(num_qubits - 1)]
    return CircuitSpec(
        name="reuploading",
        circuit=circuit,
        input_parameters=inputs,
        weight_parameters=weights,
        observables=alone + pairs,
        source="examples/own_circuit.py",
    )


def write_files(ansatz: CircuitSpec, folder: Path) -> Path:
    """Write the circuit and its metadata, and return the path of the circuit.

    Without metadata, ``--ansatz`` would measure Z on every qubit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{ansatz.name}.qasm"
    path.write_text(circuit_spec_to_qasm(ansatz), encoding="utf-8")
    path.with_suffix(".json").write_text(metadata_text(circuit_metadata(ansatz)), encoding="utf-8")
    return path


def largest_difference(one: CircuitSpec, other: CircuitSpec) -> float:
    """Evaluate two ansätze at the same inputs and weights and return the largest difference of their expectations."""
    angles_BPQ = torch.rand(8, 2, one.num_inputs, generator=torch.Generator().manual_seed(1)) * math.pi
    values = []
    for ansatz in (one, other):
        values.append(SubGenerators(ansatz, 2, generator=torch.Generator().manual_seed(2))(angles_BPQ))
    return float((values[0] - values[1]).detach().abs().max())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the five steps."""
    log_to_stderr()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--num-qubits", type=int, default=4, help="qubits of the circuit (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=3, help="layers of the circuit (default: %(default)s)")
    parser.add_argument("--sub-generators", type=int, default=6, help="copies of it (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="training steps (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=Path("my_circuits"), help="of the circuit (default: %(default)s)"
    )
    parser.add_argument("--outdir", type=Path, default=Path("runs"), help="of the run (default: %(default)s)")
    arguments = parser.parse_args(argv)

    ansatz = reuploading_ansatz(arguments.num_qubits, arguments.layers)
    print(ansatz.circuit.draw("text", fold=110))
    print(f"{ansatz.num_inputs} inputs, {ansatz.num_weights} weights, {ansatz.num_observables} observables")

    path = write_files(ansatz, arguments.folder)
    print(f"wrote {path} and {path.with_suffix('.json')}")
    print(f"read back: largest difference {largest_difference(ansatz, read_circuit_spec(path)):.0e}")

    config = RunConfig(
        preset="own",
        model=HybridQConfig(
            ansatz=str(path),
            sub_generators=arguments.sub_generators,
            decoder_width=32,
            discriminator_width=16,
        ),
        data=DataConfig(class_name="nevus", resolution=32, synthetic_per_class=100),
        training=TrainingConfig(steps=arguments.steps, batch_size=16),
    )
    [run] = fit(config, arguments.outdir)
    generate(run, range(16), Outputs(grid=run / "sixteen.png"))


if __name__ == "__main__":
    main()

"""Fidelity of the circuits' states: formulas for encoded states, Qiskit's states for the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from geometry_models import SIZES, tiny_generator
from qiskit.quantum_info import Statevector

from qgan_qiskit.analysis.state_fidelity import input_fidelities, split_by_inputs
from qgan_qiskit.circuits import hybridq_ansatz, read_circuit_spec
from qgan_qiskit.config import HybridQConfig, MosaiqConfig
from qgan_qiskit.errors import CircuitError, UsageError
from qgan_qiskit.hardware.generator_circuits import circuit_inputs
from qgan_qiskit.models import build
from qgan_qiskit.study.latent_geometry import _fidelities

REUPLOADING = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] x_000;
input float[64] x_001;
input float[64] theta_000;
input float[64] theta_001;
qubit[2] q;
ry(x_000) q[0];
rx(x_001) q[1];
cx q[0], q[1];
ry(theta_000) q[0];
rz(2*x_000 - 0.5) q[0];
ry(x_001) q[1];
cx q[1], q[0];
rx(theta_001) q[1];
"""


def generator_of(config):
    generator, _ = build(config, 16, torch.Generator().manual_seed(0))
    return generator.eval()


def sample_latents(generator, count, seed=0):
    random = torch.Generator().manual_seed(seed)
    return generator.sample_latent(count, random), generator.sample_latent(count, random)


def test_of_ry_encoded_states_it_is_a_product_of_cosines_whatever_is_trained():
    first, second = sample_latents(generator_of(HybridQConfig(**SIZES)), 20)
    expected = (((first.double() - second.double()) / 2).cos() ** 2).view(20, 2, 3).prod(dim=2)
    for reps in (1, 4):
        generator = generator_of(HybridQConfig(**{**SIZES, "reps": reps}))
        np.testing.assert_allclose(input_fidelities(generator, first, second), expected, atol=1e-12)


def test_a_narrow_noise_range_makes_inputs_alike():
    """For x, y ~ U[0, h) each qubit's fidelity is (1 + sinc^2(h / 2)) / 2 in the mean, and qubits are independent."""
    means = {}
    for high in (0.3, math.pi / 2, math.pi):
        generator = generator_of(HybridQConfig(**SIZES, latent_high=high))
        found = input_fidelities(generator, *sample_latents(generator, 1500))
        qubit = (1 + (math.sin(high / 2) / (high / 2)) ** 2) / 2
        means[high] = found.mean()
        # Two sub-generators of three qubits; five standard errors.
        assert found.mean() == pytest.approx(qubit**3, abs=5 * found.std() / math.sqrt(found.size))
    assert means[0.3] > 0.95 > 0.75 > means[math.pi / 2] > means[math.pi]


def test_equal_latents_make_equal_states():
    generator = generator_of(MosaiqConfig(sub_generators=2, num_qubits=3, reps=1))
    first, _ = sample_latents(generator, 4)
    np.testing.assert_allclose(input_fidelities(generator, first, first), 1, atol=1e-12)


@pytest.mark.parametrize("kind", ["mosaiq", "qgpatch", "linear", "mediq", "own"])
def test_against_qiskits_states(kind, tmp_path):
    if kind == "own":
        path = tmp_path / "own.qasm"
        path.write_text(REUPLOADING)
        generator = generator_of(HybridQConfig(sub_generators=2, ansatz=str(path), decoder_width=16))
    else:
        generator = tiny_generator({"mosaiq": "mosaiq-own", "linear": "hybridq-linear-modulated"}.get(kind, kind))
    pair = sample_latents(generator, 3)
    works = [circuit_inputs(generator, z) for z in pair]
    ansatz = works[0].ansatz
    found = input_fidelities(generator, *pair)
    assert found.shape == (3, len(works[0].weights_PK))
    for pair_number, member in np.ndindex(found.shape):
        states = []
        for work in works:
            values = [*work.angles_BPQ[pair_number, member], *work.weights_PK[member]]
            parameters = [*ansatz.input_parameters, *ansatz.weight_parameters]
            states.append(Statevector(ansatz.circuit.assign_parameters(dict(zip(parameters, values, strict=True)))))
        expected = abs(states[0].inner(states[1])) ** 2
        assert found[pair_number, member] == pytest.approx(expected, abs=1e-12)


def test_what_decides_the_fidelity_of_an_encoding_are_single_qubits(tmp_path):
    parts = split_by_inputs(hybridq_ansatz(20, 3, encoding="ry_rx"))
    assert [part.num_qubits for part in parts] == [1] * 20
    assert all(list(part.count_ops()) == ["ry", "rx"] for part in parts)
    path = tmp_path / "own.qasm"
    path.write_text(REUPLOADING)
    [part] = split_by_inputs(read_circuit_spec(path))
    # Neither the last ladder nor the weight behind it.
    assert [item.operation.name for item in part.data] == ["ry", "rx", "cx", "ry", "rz", "ry"]


def test_inputs_behind_an_entangler_of_many_qubits_are_left_out(tmp_path):
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', "input float[64] x_000;", "input float[64] theta_000;"]
    lines += [
        "qubit[17] q;",
        "ry(theta_000) q[0];",
        *(f"cx q[{i}], q[{i + 1}];" for i in range(16)),
        "ry(x_000) q[16];",
    ]
    path = tmp_path / "long.qasm"
    path.write_text("\n".join(lines))
    generator = generator_of(HybridQConfig(sub_generators=1, ansatz=str(path), decoder_width=16))
    pair = sample_latents(generator, 2)
    with pytest.raises(CircuitError, match="17 qubits"):
        input_fidelities(generator, *pair)
    assert "17 qubits" in _fidelities(generator, *pair, {})["left_out"]


@pytest.mark.parametrize("name", ["dcgan", "hybridq-baseline"])
def test_without_circuits_there_are_no_states(name):
    generator = tiny_generator(name)
    with pytest.raises(UsageError, match="no circuits"):
        input_fidelities(generator, *sample_latents(generator, 2))

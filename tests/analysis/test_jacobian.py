"""Jacobians: known maps, all models against reverse mode in double precision, and what rounding leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from geometry_models import CONFIGS, LinearGenerator, in_double, tiny_generator

from qgan_qiskit.analysis.jacobian import copy_discrete_part, derivative, feature_matrix, jacobians
from qgan_qiskit.analysis.spectrum import RANK_TOLERANCE, numerical_rank
from qgan_qiskit.config import HybridQConfig
from qgan_qiskit.models import build


def one_latent(generator, seed=3):
    return generator.sample_latent(1, torch.Generator().manual_seed(seed))[0]


def by_reverse_mode(generator, z_Z, rows_RD):
    """Rows times the Jacobian of the whole generator in double precision: one copy of the latent for each row."""
    with in_double(generator):
        z_RZ = z_Z.double().repeat(len(rows_RD), 1).requires_grad_()
        [product_RZ] = torch.autograd.grad(generator(z_RZ).flatten(1), z_RZ, rows_RD)
    return product_RZ


def some_rows(size, count=48):
    """Orthonormal rows of an image's size: they keep the scale, and more of them than latents have numbers keep the rank."""
    rows = torch.randn(size, count, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return torch.linalg.qr(rows).Q.T.contiguous()


@pytest.mark.parametrize("shape", [(12, 5), (6, 6), (4, 9), (200, 120)])
def test_of_a_linear_map_it_is_the_matrix(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    found = jacobians(LinearGenerator(matrix), torch.zeros(shape[1]))
    assert found.features_FS is None
    torch.testing.assert_close(found.image_DS, matrix.double())
    np.testing.assert_allclose(
        torch.linalg.svdvals(found.image_DS), np.linalg.svd(matrix.double().numpy(), compute_uv=False), rtol=1e-6
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_all_models_against_reverse_mode_in_double_precision(name):
    """Circuits, networks, forward and reverse mode at once; singular values differ by rounding of single precision alone."""
    generator = tiny_generator(name)
    z_Z = one_latent(generator)
    found = jacobians(generator, z_Z)
    assert found.image_DS.dtype == torch.float64
    rows_RD = some_rows(len(found.image_DS))
    expected_RZ = by_reverse_mode(generator, z_Z, rows_RD)
    size = generator.continuous_latent_size
    assert size == len(z_Z) - 2 * name.startswith("mediq")
    assert not expected_RZ[:, size:].any(), "class and seed are choices"
    found_RS, expected_RS = rows_RD @ found.image_DS, expected_RZ[:, :size]
    largest = float(torch.linalg.svdvals(expected_RS)[0])
    assert largest > 1e-3, "the latent has no effect"
    assert (found_RS - expected_RS).abs().max() < 1e-5 * largest
    difference = torch.linalg.svdvals(found_RS) - torch.linalg.svdvals(expected_RS)
    assert difference.abs().max() < 3e-6 * largest


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "dcgan"])
def test_features_against_differences(name):
    generator = tiny_generator(name)
    z_Z = one_latent(generator)
    found = jacobians(generator, z_Z).features_FS
    step = 2.0**-10
    with in_double(generator):
        columns = []
        for direction in torch.eye(len(z_Z), dtype=torch.float64)[: generator.continuous_latent_size]:
            rows = torch.stack([z_Z.double() + sign * step * direction for sign in (2, 1, -1, -2)])
            far, near, back, far_back = feature_matrix(generator, rows)
            columns.append((8 * (near - back) - (far - far_back)) / (12 * step))
    torch.testing.assert_close(found, torch.stack(columns, dim=1), atol=1e-6, rtol=1e-5)


def test_one_qubit_turned_twice():
    """<Z> of RY(x) RY(theta) is cos(x + theta), so the Jacobian is diagonal with -sin(x + theta)."""
    config = HybridQConfig(sub_generators=3, num_qubits=1, reps=1, decoder_width=16)
    generator, _ = build(config, 16, torch.Generator().manual_seed(0))
    z_Z = one_latent(generator.eval())
    theta_P = generator.sub_generators.weights_PK()[:, 0]
    expected = torch.diag(-torch.sin(z_Z.double() + theta_P.double()))
    torch.testing.assert_close(jacobians(generator, z_Z).features_FS, expected, atol=1e-12, rtol=0)


def test_the_rank_of_a_twin_is_that_of_its_hidden_layer():
    """3 inputs, 3 outputs and 6 weights leave one hidden unit: rank 1 in each of 2 parts, also behind the decoder."""
    generator = tiny_generator("hybridq-baseline")
    found = jacobians(generator, one_latent(generator))
    for matrix in (found.features_FS, found.image_DS):
        values = torch.linalg.svdvals(matrix).numpy()
        assert numerical_rank(values) == 2
        assert values[2] < 1e-6 * RANK_TOLERANCE * values[0], "rounding must stay far below what counts as a direction"
    circuits = tiny_generator("hybridq")
    assert numerical_rank(torch.linalg.svdvals(jacobians(circuits, one_latent(circuits)).features_FS).numpy()) == 6


@pytest.mark.parametrize(
    "name", ["hybridq", "hybridq-fusion", "mosaiq-shared", "qgpatch-baseline", "mediq", "transfer"]
)
def test_encoding_circuits_and_decoding_are_the_whole_generator(name):
    generator = tiny_generator(name)
    z_BZ = generator.sample_latent(5, torch.Generator().manual_seed(4))
    with torch.no_grad():
        whole = generator(z_BZ)
        features = generator.double_expectations(generator.encode(z_BZ))
        assert features.dtype == torch.float64
        torch.testing.assert_close(generator.decode(features.float(), z_BZ), whole, atol=2e-5, rtol=0)
    assert all(weight.dtype == torch.float32 for weight in generator.parameters())


def test_ways_between_latents_keep_to_a_class_and_to_its_noise():
    generator = tiny_generator("mediq")
    first, second = (generator.sample_latent(5, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    ends = copy_discrete_part(generator, first, second)
    assert torch.equal(ends[:, :6], second[:, :6])
    assert torch.equal(ends[:, 6:], first[:, 6:])
    plain = tiny_generator("hybridq")
    first, second = (plain.sample_latent(5, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(copy_discrete_part(plain, first, second), second)


def test_what_does_not_depend_on_the_point_has_no_derivative():
    value, jacobian = derivative(lambda rows: torch.ones(len(rows), 2), torch.zeros(3))
    assert value.tolist() == [1, 1]
    assert jacobian.tolist() == [[0, 0, 0], [0, 0, 0]]

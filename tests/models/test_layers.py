"""Shared layers: upsampling convolution and batch statistics against their formulas, and the classical block's counts."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from qgan_qiskit.errors import UsageError
from qgan_qiskit.models.layers import MatchedClassicalBlock, MinibatchStd, UpsampleConv2d
from qgan_qiskit.rng import seeded_generator


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("batch", "before", "after", "height", "width"), [(1, 1, 1, 1, 1), (3, 5, 7, 4, 6), (2, 8, 3, 9, 2)]
)
def test_upsampling_convolution_is_upsampling_and_a_convolution(bias, batch, before, after, height, width):
    layer = UpsampleConv2d(before, after, bias=bias).double()
    small = torch.randn(
        batch, before, height, width, dtype=torch.float64, generator=seeded_generator(1), requires_grad=True
    )
    cotangent = torch.randn(batch, after, 2 * height, 2 * width, dtype=torch.float64, generator=seeded_generator(2))

    def values_and_gradients(function):
        made = function(small)
        return made, *torch.autograd.grad((made * cotangent).sum(), [small, *layer.parameters()])

    expected = values_and_gradients(
        lambda x: conv2d(interpolate(x, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)
    )
    for ours, theirs in zip(values_and_gradients(layer), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded_generator(seed))


@pytest.mark.parametrize(("batch", "members"), [(4, 4), (8, 4), (12, 4), (5, 5), (2, 2), (6, 6), (1, 1)])
def test_added_channel_is_the_mean_deviation_of_each_group(batch, members):
    features = normal(batch, 3, 4, 4)
    seen = MinibatchStd()(features)
    assert torch.equal(seen[:, :3], features)
    groups = features.numpy().reshape(batch // members, members, -1)
    expected = np.repeat(groups.std(axis=1).mean(axis=1), members)
    np.testing.assert_allclose(seen[:, 3].numpy(), np.tile(expected[:, None, None], (1, 4, 4)), rtol=1e-4, atol=2e-4)


def test_gradient_is_finite_where_all_images_are_the_same():
    features = normal(1, 2, 4, 4).repeat(4, 1, 1, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(MinibatchStd()(features)[:, 2].sum(), features)
    assert gradient.isfinite().all()
    assert gradient.abs().max() < 1e-3


def test_a_classical_block_spends_exactly_its_parameters_or_is_refused():
    for inputs, outputs in itertools.product(range(1, 5), repeat=2):
        for weights in range(1, 30, 2):
            try:
                block = MatchedClassicalBlock(inputs, outputs, weights, 2, seeded_generator(0))
            except UsageError as error:
                assert f"{weights} parameters" in str(error)
                continue
            assert sum(p.numel() for p in block.parameters()) == 2 * weights
            out = block(torch.rand(3, 2, inputs))
            assert out.shape == (3, 2, outputs)
            assert out.abs().max() <= 1

"""The convolution of a doubled image against doubling and convolving, values and gradients."""

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from qgan_qiskit.models.layers import UpsampleConv2d
from qgan_qiskit.rng import seeded_generator


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("batch", "before", "after", "height", "width"), [(1, 1, 1, 1, 1), (3, 5, 7, 4, 6), (2, 8, 3, 9, 2)]
)
def test_it_is_upsampling_and_a_convolution(bias, batch, before, after, height, width):
    layer = UpsampleConv2d(before, after, bias=bias).double()
    small = torch.randn(
        batch, before, height, width, dtype=torch.float64, generator=seeded_generator(1), requires_grad=True
    )
    told = torch.randn(batch, after, 2 * height, 2 * width, dtype=torch.float64, generator=seeded_generator(2))

    def values_and_gradients(function):
        made = function(small)
        return made, *torch.autograd.grad((made * told).sum(), [small, *layer.parameters()])

    expected = values_and_gradients(
        lambda x: conv2d(interpolate(x, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)
    )
    for ours, theirs in zip(values_and_gradients(layer), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)

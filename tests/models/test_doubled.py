"""The convolution of a doubled image against doubling and convolving, values and gradients."""

import pytest
import torch
from torch.nn.functional import conv2d, interpolate

from qgan_qiskit.models.decoders import UpsampleDecoder
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


def test_decoders_weights_have_the_names_they_always_had():
    decoder = UpsampleDecoder(100, 128, 64, seeded_generator(0))
    convolutions = {f"layers.{4 * stage + 1}.weight" for stage in range(4)} | {"layers.16.weight", "layers.16.bias"}
    norms = {f"layers.{4 * stage + 2}.{name}" for stage in range(4) for name in ("weight", "bias")}
    assert {name for name, _ in decoder.named_parameters()} == {"project.weight", "project.bias"} | convolutions | norms

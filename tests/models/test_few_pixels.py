"""Convolutions as matrix products against torch's own: values, gradients, gradients of gradients, types and layouts."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from qgan_qiskit.models.few_pixels import SIDE, DoublingConv2d, HalvingConv2d, double, halve
from qgan_qiskit.training.randomness import seeded

SHAPES = [
    (1, 1, 1, 2, 2),
    (3, 5, 2, 8, 4),
    (2, 3, 7, 6, 8),
    (4, 8, 8, 8, 8),
    (2, 3, 4, 2 * SIDE + 2, 4),
    (2, 3, 4, 7, 5),
]


def halved_by_torch(large, weight):
    return conv2d(large, weight, stride=2, padding=1)


def doubled_by_torch(small, weight):
    return conv_transpose2d(small, weight, stride=2, padding=1)


def drawn(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=seeded(seed)).requires_grad_()


def up_to_second_order(function, image, weight):
    """Return the values, the gradients, and those of a penalty on the gradients, as WGAN-GP and R1 have it."""
    made = function(image, weight)
    told = torch.randn(made.shape, dtype=made.dtype, generator=seeded(9)).requires_grad_()
    first = torch.autograd.grad(made.square(), [image, weight], told, create_graph=True)
    penalty = sum(gradient.square().sum() for gradient in first)
    return made, *first, *torch.autograd.grad(penalty, [image, weight, told])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("batch", "channels", "outputs", "height", "width"), SHAPES)
@pytest.mark.parametrize("ours_and_torchs", [(halve, halved_by_torch), (double, doubled_by_torch)])
def test_values_and_gradients_are_torchs(ours_and_torchs, batch, channels, outputs, height, width, layout):
    ours, torchs = ours_and_torchs
    if ours is double:
        image, shape = drawn(batch, outputs, height // 2, width // 2, seed=1), (outputs, channels, 4, 4)
    else:
        image, shape = drawn(batch, channels, height, width, seed=1), (outputs, channels, 4, 4)
    weight = drawn(*shape, seed=2)
    placed = [tensor.detach().contiguous(memory_format=layout).requires_grad_() for tensor in (image, weight)]
    for found, expected in zip(
        up_to_second_order(ours, *placed), up_to_second_order(torchs, image, weight), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_only_what_is_asked_for_gets_a_gradient():
    image, weight = drawn(2, 3, 4, 4, seed=1), drawn(5, 3, 4, 4, seed=2).detach()
    [found] = torch.autograd.grad(halve(image, weight).sum(), [image])
    [expected] = torch.autograd.grad(halved_by_torch(image, weight).sum(), [image])
    torch.testing.assert_close(found, expected)
    assert not halve(image.detach(), weight).requires_grad


@pytest.mark.parametrize("layer", [HalvingConv2d(3, 6), DoublingConv2d(3, 6)])
def test_autocast_computes_in_bfloat16_and_gradients_come_back_in_float32(layer):
    image = drawn(4, 3, 4, 4, seed=1, dtype=torch.float32)
    expected = layer(image)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(image)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    found.float().square().sum().backward()
    assert image.grad.dtype == layer.weight.grad.dtype == torch.float32


def test_a_bias_is_added_to_each_channel():
    small, weight, bias = drawn(2, 3, 4, 4, seed=1), drawn(3, 5, 4, 4, seed=2), drawn(5, seed=3)
    torch.testing.assert_close(double(small, weight, bias), conv_transpose2d(small, weight, bias, stride=2, padding=1))

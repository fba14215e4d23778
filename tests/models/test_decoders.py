"""The modulated decoder against its formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate

from qgan_qiskit.models import parameter_count
from qgan_qiskit.models.base import BuildContext
from qgan_qiskit.models.decoders import ModulatedDecoder, UpsampleDecoder


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_decoder_of_one_image_at_a_time_is_the_formula(resolution):
    decoder = ModulatedDecoder(6, 16, BuildContext(resolution, seeded())).eval()
    for norm in decoder.norms:
        norm.running_mean.copy_(normal(len(norm.running_mean), seed=2))
        norm.running_var.copy_(normal(len(norm.running_var), seed=3).exp())
    for features in normal(3, 6):
        x, total = decoder.project(features).view(16, 4, 4), 0
        for stage in range(resolution.bit_length() - 3):
            gain, offset = decoder.modulations[stage](features).view(2, -1, 1, 1)
            x = x.repeat_interleave(2, 1).repeat_interleave(2, 2)
            x = decoder.norms[stage](conv2d(x[None], decoder.convolutions[stage].weight, padding=1))[0]
            x = (x * (1 + gain) + offset).clamp_min(0)
            if stage:
                total = interpolate(total[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
            total = total + decoder.images[stage](x[None])[0]
        torch.testing.assert_close(decoder(features[None])[0], total.tanh(), rtol=1e-4, atol=1e-5)


def test_modulation_and_small_images_are_all_that_the_decoder_has_more():
    plain = UpsampleDecoder(100, 128, BuildContext(64, seeded()))
    modulated = ModulatedDecoder(100, 128, BuildContext(64, seeded()))
    widths = [128, 64, 32, 16]
    assert parameter_count(modulated) - parameter_count(plain) == sum(
        100 * 2 * width + (3 * width + 3 if width > 16 else 0) for width in widths
    )


def test_without_modulation_expectations_act_only_through_the_first_layer():
    decoder = ModulatedDecoder(6, 16, BuildContext(32, seeded())).eval()
    first, second = normal(1, 6), normal(1, 6, seed=5)
    decoder.project.weight.data.zero_()
    assert not torch.equal(decoder(first), decoder(second))
    for layer in decoder.modulations:
        layer.weight.data.zero_()
    assert torch.equal(decoder(first), decoder(second))


def test_batch_norms_are_found_by_their_kind():
    # What settles averaged weights, and what shares statistics among devices, look for them.
    decoder = ModulatedDecoder(6, 16, BuildContext(64, seeded()))
    assert sum(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in decoder.modules()) == 4

"""The modulated decoder and the discriminator's view of variety, against their formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate

from qgan_qiskit.config import DcganConfig, HybridQConfig, RunConfig
from qgan_qiskit.models import build, parameter_count
from qgan_qiskit.models.base import BuildContext
from qgan_qiskit.models.decoders import ModulatedDecoder, UpsampleDecoder
from qgan_qiskit.models.layers import MinibatchStd


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


@pytest.mark.parametrize("norm", ["batch", "spectral"])
@pytest.mark.parametrize("config", [HybridQConfig, DcganConfig])
def test_discriminator_sees_it_in_one_more_channel(config, norm):
    plain, seeing = (
        build(config(discriminator_norm=norm, minibatch_std=on), 16, seeded())[1].eval() for on in (False, True)
    )
    assert parameter_count(seeing) - parameter_count(plain) == 16
    one, other = normal(4, 3, 16, 16), normal(4, 3, 16, 16, seed=4)
    alone, beside = seeing(one), seeing(torch.cat([one[:2], other[2:]]))
    assert not torch.allclose(alone[:2], beside[:2])
    assert torch.allclose(plain(one)[:2], plain(torch.cat([one[:2], other[2:]]))[:2])


def test_devices_must_hold_whole_groups():
    model = HybridQConfig(minibatch_std=True)
    RunConfig(model=model, training={"devices": 2, "batch_size": 16})
    with pytest.raises(ValueError, match=r"groups of 4.*multiple of 8"):
        RunConfig(model=model, training={"devices": 2, "batch_size": 12})
    RunConfig(model=HybridQConfig(), training={"devices": 2, "batch_size": 12})


def test_batch_norms_are_found_by_their_kind():
    # What settles averaged weights, and what shares statistics among devices, look for them.
    decoder = ModulatedDecoder(6, 16, BuildContext(64, seeded()))
    assert sum(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in decoder.modules()) == 4

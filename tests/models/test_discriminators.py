"""Discriminators: the class projection by hand, DCGAN with a class, and what they see of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qgan_qiskit.config import DcganConfig, HybridQConfig
from qgan_qiskit.models import BuildContext, build, parameter_count
from qgan_qiskit.models.discriminators import ConditionalDcganDiscriminator, DcganDiscriminator, ProjectionCritic


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def conditional(**more) -> ConditionalDcganDiscriminator:
    return ConditionalDcganDiscriminator(8, BuildContext(16, seeded(), classes=("x", "y", "z")), **more)


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


def test_critic_is_a_score_and_a_projection_on_the_class():
    critic = ProjectionCritic(8, BuildContext(16, seeded(), classes=tuple("abcd")))
    images, labels = torch.randn(5, 3, 16, 16, generator=seeded(1)), torch.tensor([0, 1, 2, 3, 0])
    seen = critic.features(images)
    by_hand = [
        (critic.score(h) + critic.project(h) @ critic.embedding.weight[label]).item()
        for h, label in zip(seen, labels, strict=True)
    ]
    np.testing.assert_allclose(critic(images, labels).detach(), by_hand, rtol=1e-5)


def test_conditional_dcgan_starts_as_dcgan_and_learns_classes():
    critic = conditional()
    images, labels = torch.randn(6, 3, 16, 16, generator=seeded(8)), torch.tensor([0, 1, 2, 0, 1, 2])
    plain = DcganDiscriminator(8, "batch", BuildContext(16, seeded()))
    plain.layers[:-1].load_state_dict(critic.trunk.state_dict())
    plain.layers[-1].load_state_dict(critic.head.state_dict())
    np.testing.assert_allclose(critic(images, labels).detach(), plain(images).detach(), atol=1e-6)
    critic(images, labels).sum().backward()
    assert critic.embedding.weight.grad.any()
    with torch.no_grad():
        critic.embedding.weight.normal_(generator=seeded(9))
        seen = critic.trunk(images).mean((2, 3))
        shift = torch.stack([critic.project(h) @ critic.embedding.weight[y] for h, y in zip(seen, labels, strict=True)])
        np.testing.assert_allclose(critic(images, labels) - plain(images), shift, atol=1e-5)
    seeing = conditional(minibatch_std=True)
    assert parameter_count(seeing) - parameter_count(critic) == 4 * 4
    alike = images[:1].expand(4, -1, -1, -1)
    with torch.no_grad():
        # The class's part of the logit is that of each image alone, whatever else is in its group.
        seeing.embedding.weight.normal_(generator=seeded(9))
        seeing.eval()
        varied = torch.cat([images[:1], 2 * torch.randn(3, 3, 16, 16, generator=seeded(10))])
        parts = [
            seeing(group, torch.ones(4, dtype=torch.long))[0] - seeing(group, torch.zeros(4, dtype=torch.long))[0]
            for group in (alike, varied)
        ]
        np.testing.assert_allclose(parts[0], parts[1], atol=1e-5)
        wholes = [seeing(group, torch.ones(4, dtype=torch.long))[0] for group in (alike, varied)]
        assert abs(wholes[0] - wholes[1]) > 1e-4

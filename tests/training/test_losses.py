"""Losses and gradient penalties, each against a formula written another way."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from qgan_qiskit.training.losses import discriminator_loss, generator_loss, gradient_penalty, r1_penalty

LOGITS = st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=9).map(lambda values: torch.tensor(values))


def seeded_generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(LOGITS, LOGITS)
def test_bce_is_torchs_cross_entropy(real, fake):
    expected = cross_entropy(real, torch.ones_like(real)) + cross_entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(discriminator_loss("bce", real, fake), expected)
    torch.testing.assert_close(generator_loss("bce", fake), cross_entropy(fake, torch.ones_like(fake)))


@given(LOGITS, LOGITS)
def test_hinge_and_wasserstein(real, fake):
    r, f = real.double().numpy(), fake.double().numpy()
    hinge = np.where(r < 1, 1 - r, 0).mean() + np.where(f > -1, 1 + f, 0).mean()
    assert discriminator_loss("hinge", real, fake).item() == pytest.approx(hinge, rel=1e-5, abs=1e-5)
    assert discriminator_loss("wgan-gp", real, fake).item() == pytest.approx(f.mean() - r.mean(), rel=1e-5, abs=1e-4)
    for name in ("hinge", "wgan-gp"):
        assert generator_loss(name, fake).item() == pytest.approx(-f.mean(), rel=1e-5, abs=1e-5)


@given(st.integers(0, 10_000), st.floats(0, 5), st.sampled_from([(3, 4, 4), (6,)]))
def test_penalty_of_a_linear_discriminator_is_its_known_slope(seed, norm, shape):
    w = torch.randn(shape, generator=seeded_generator(seed))
    w = (w / w.norm() * norm).requires_grad_()
    real, fake = torch.randn(2, 5, *shape, generator=seeded_generator(seed + 1))
    penalty = gradient_penalty(lambda x: (x * w).flatten(1).sum(dim=1), real, fake, seeded_generator())
    assert penalty.item() == pytest.approx((norm - 1) ** 2, abs=1e-4)
    if norm > 1e-3:
        penalty.backward()
        torch.testing.assert_close(w.grad, 2 * (norm - 1) * w.detach() / norm, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "dtypes", [(torch.float32, torch.float32), (torch.float32, torch.bfloat16), (torch.bfloat16,) * 2]
)
def test_penalty_is_taken_at_points_between_real_and_fake(dtypes):
    """The gradient of |x|^2 / 2 is x: with real = 2u and fake = 4u, |x| lies between 2 and 4."""
    points = []

    def discriminator(x):
        points.append(x.detach())
        return x.square().flatten(1).sum(dim=1) / 2

    u = torch.tensor([0.6, 0.8]).expand(500, 2)
    real, fake = (2 * u).to(dtypes[0]), (4 * u).to(dtypes[1])
    penalty = gradient_penalty(discriminator, real, fake, seeded_generator())
    norms = points[0].float().norm(dim=1)
    assert 1.98 <= norms.min() < 2.1 < 3.9 < norms.max() <= 4.02
    assert norms.mean().item() == pytest.approx(3, abs=0.1)
    assert penalty.item() == pytest.approx((norms - 1).square().mean().item(), rel=1e-3)
    assert torch.equal(penalty, gradient_penalty(discriminator, real, fake, seeded_generator()))
    assert not torch.equal(penalty, gradient_penalty(discriminator, real, fake, seeded_generator(1)))


@pytest.mark.parametrize("seed", range(5))
def test_r1_of_a_quadratic_is_its_gradient_by_hand(seed):
    """Logit x'Ax has the gradient (A + A')x."""
    matrix = torch.randn(6, 6, generator=seeded_generator(seed), dtype=torch.float64)
    points = torch.randn(7, 6, generator=seeded_generator(seed + 100), dtype=torch.float64, requires_grad=True)
    found = r1_penalty(((points @ matrix) * points).sum(dim=1), points)
    gradients = points.detach() @ (matrix + matrix.T)
    torch.testing.assert_close(found.detach(), 0.5 * (gradients**2).sum() / 7)


def test_r1_has_a_gradient_for_the_discriminator():
    weight = torch.randn(6, generator=seeded_generator(), dtype=torch.float64, requires_grad=True)
    points = torch.randn(4, 6, generator=seeded_generator(1), dtype=torch.float64, requires_grad=True)
    r1_penalty(points @ weight, points).backward()
    torch.testing.assert_close(weight.grad, weight.detach())

"""Losses, the gradient penalty, the average and the step sizes, each against a formula written another way."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from qgan_qiskit.models import build
from qgan_qiskit.training.ema import Ema
from qgan_qiskit.training.losses import discriminator_loss, generator_loss, gradient_penalty
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step

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


class Follower(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.zeros(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


@given(st.floats(0, 0.9999), st.integers(1, 30), st.integers(0, 1000))
def test_average_follows_its_formula(decay, steps, seed):
    module = Follower()
    ema = Ema(module, decay)
    expected = np.zeros((3, 2))
    numbers = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        weights = numbers.normal(size=(3, 2))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weights))
            module.count.add_(1)
        ema.update(step)
        share = min(decay, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * weights
        np.testing.assert_allclose(ema.average["weight"].numpy(), expected, atol=1e-5)
        assert ema.average["count"] == step
    if decay == 0:
        assert torch.equal(ema.average["weight"], module.weight)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_applied_average_leaves_everything_as_it_was(training, fails):
    module = Follower().train(training)
    ema = Ema(module, 0.5)
    with torch.no_grad():
        module.weight.fill_(1.0)
    pointer = module.weight.data_ptr()

    class Stop(BaseException):
        pass

    try:
        with ema.applied():
            assert not module.training
            assert torch.equal(module.weight, torch.zeros(3, 2))
            if fails:
                raise Stop
    except Stop:
        pass
    assert torch.equal(module.weight, torch.ones(3, 2))
    assert module.weight.data_ptr() == pointer
    assert module.training is training
    assert torch.equal(ema.average["weight"], torch.zeros(3, 2))


@pytest.mark.parametrize(
    "model", [{}, {"mode": "latent"}, {"mode": "fusion"}, {"classical_baseline": True}, {"name": "dcgan"}]
)
def test_first_adam_step_moves_each_group_by_its_own_rate(model, tiny):
    """Adam's first step is rate * g / (|g| + eps): its size is the rate wherever the gradient is not tiny."""
    rates = {"lr_quantum": 0.03, "lr_classical": 4e-4, "lr_discriminator": 7e-4}
    config = tiny(model=model, training=rates)
    generator, discriminator = build(config.model, 16, seeded_generator())
    state = TrainingState.create(config, generator, discriminator)
    quantum = [f"generator.{n}" for n, _ in generator.named_parameters() if n.startswith("circuits.")]

    def weights():
        modules = {"generator": generator, "discriminator": discriminator}
        return {f"{m}.{n}": p.detach().clone() for m, module in modules.items() for n, p in module.named_parameters()}

    before = weights()
    train_step(state, torch.rand(8, 3, 16, 16, generator=seeded_generator(1)) * 2 - 1, config.training)
    for name, after in weights().items():
        moved = (after - before[name]).abs().flatten()
        rate = (
            "lr_quantum"
            if name in quantum
            else f"lr_{'classical' if name.startswith('generator') else 'discriminator'}"
        )
        if moved.numel():
            # Single precision: a weight near 3 radians moves in steps of 2.4e-7.
            assert moved.max().item() == pytest.approx(rates[rate], rel=0.02), name
    assert bool(quantum) == (model.get("name") != "dcgan")


def test_adams_decays_are_those_configured(tiny):
    config = tiny(training={"beta1": 0.3, "beta2": 0.7})
    state = TrainingState.create(config, *build(config.model, 16, seeded_generator()))
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        assert all(group["betas"] == (0.3, 0.7) for group in optimizer.param_groups)
    train_step(state, torch.rand(8, 3, 16, 16, generator=seeded_generator(1)) * 2 - 1, config.training)
    weight = state.generator.quantum_parameters()[0]
    moments = state.generator_optimizer.state[weight]
    torch.testing.assert_close(moments["exp_avg"], 0.7 * weight.grad)
    torch.testing.assert_close(moments["exp_avg_sq"], 0.3 * weight.grad.square())
    assert math.isclose(
        state.quantum_gradient_norm(), torch.cat([w.grad for w in state.generator.quantum_parameters()]).norm()
    )


def test_reported_losses_are_those_of_the_networks_before_the_step(tiny):
    """Worked out again with the published formulas from copies of the networks, for every loss and mode."""
    for mode in ("image", "latent", "fusion"):
        for loss in ("bce", "hinge", "wgan-gp"):
            if loss == "wgan-gp" and mode != "latent":
                continue  # Needs spectral norm, whose power iteration moves at every call: no copy follows it.
            config = tiny(model={"mode": mode}, training={"loss": loss, "lr_discriminator": 1e-12, "gp_weight": 0.0})
            generator, discriminator = build(config.model, 16, seeded_generator())
            state = TrainingState.create(config, generator, discriminator)
            real = torch.rand(8, 3, 16, 16, generator=seeded_generator(1)) * 2 - 1
            losses = train_step(state, real, config.training)
            copy, judge = build(config.model, 16, seeded_generator())
            from qgan_qiskit.rng import seeded_generator as keyed

            pair = copy.discriminator_inputs(real, copy.sample_latent(8, keyed(0, "noise", 0)))
            logits = judge(pair.real).detach(), judge(pair.fake).detach()
            expected = discriminator_loss(loss, *logits), generator_loss(loss, logits[1])
            assert losses.discriminator == pytest.approx(expected[0].item(), rel=1e-4, abs=1e-6)
            assert losses.generator == pytest.approx(expected[1].item(), rel=1e-4, abs=1e-6)
            if mode == "image":
                assert losses.reconstruction is None
            else:
                assert losses.reconstruction == pytest.approx(pair.reconstruction.item(), rel=1e-5)

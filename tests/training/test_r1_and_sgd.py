"""The R1 penalty against derivatives by hand, plain gradient descent, and augmentation that begins later."""

import pytest
import torch

from qgan_qiskit.models import build
from qgan_qiskit.training import step
from qgan_qiskit.training.losses import r1_penalty
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def reals(seed=1):
    return torch.rand(8, 3, 16, 16, generator=seeded(seed)) * 2 - 1


@pytest.mark.parametrize("seed", range(5))
def test_r1_of_a_quadratic_is_its_gradient_by_hand(seed):
    """Logit x'Ax has the gradient (A + A')x."""
    matrix = torch.randn(6, 6, generator=seeded(seed), dtype=torch.float64)
    points = torch.randn(7, 6, generator=seeded(seed + 100), dtype=torch.float64, requires_grad=True)
    found = r1_penalty(((points @ matrix) * points).sum(dim=1), points)
    gradients = points.detach() @ (matrix + matrix.T)
    torch.testing.assert_close(found.detach(), 0.5 * (gradients**2).sum() / 7)


def test_r1_has_a_gradient_for_the_discriminator():
    weight = torch.randn(6, generator=seeded(), dtype=torch.float64, requires_grad=True)
    points = torch.randn(4, 6, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    r1_penalty(points @ weight, points).backward()
    torch.testing.assert_close(weight.grad, weight.detach())


def test_r1_is_added_to_the_discriminators_loss_with_its_weight(tiny):
    losses = []
    for weight in (0.0, 1.0, 3.0):
        config = tiny(model={"discriminator_norm": "spectral"}, training={"r1_weight": weight})
        state = TrainingState.create(config, *build(config.model, 16, seeded()))
        losses.append(train_step(state, reals(), config.training).discriminator)
    assert losses[1] > losses[0]
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-3)


def test_gradient_descent_moves_each_weight_by_rate_times_gradient(tiny):
    rates = {"lr_quantum": 0.3, "lr_classical": 0.02, "lr_discriminator": 0.05}
    config = tiny(training={"optimizer": "sgd", **rates})
    generator, discriminator = build(config.model, 16, seeded())
    state = TrainingState.create(config, generator, discriminator)
    before = {n: p.detach().clone() for n, p in generator.named_parameters()}
    train_step(state, reals(), config.training)
    for name, parameter in generator.named_parameters():
        rate = rates["lr_quantum" if name.startswith("circuits") else "lr_classical"]
        torch.testing.assert_close(parameter.detach(), before[name] - rate * parameter.grad)
    assert not state.generator_optimizer.state_dict()["state"]


def test_augmentation_begins_at_its_step(tiny, monkeypatch):
    config = tiny(training={"diff_augment": "translation", "diff_augment_from": 2})
    state = TrainingState.create(config, *build(config.model, 16, seeded()))
    called = []
    original = step.diff_augment
    monkeypatch.setattr(step, "diff_augment", lambda *a: (called.append(state.step), original(*a))[1])
    for seed in range(4):
        train_step(state, reals(seed), config.training)
    assert called == [2, 2, 2, 3, 3, 3]  # Real, generated, and generated again in the generator's update.

"""A training step: what each optimizer group learns, the losses it reports, its options, and the learning-rate schedule."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.config import RunConfig
from qgan_qiskit.models import build
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.training import step as step_module
from qgan_qiskit.training.losses import discriminator_loss, generator_loss
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import learning_rate_factor, set_learning_rates, train_step
from qgan_qiskit.workflows.fit import fit, resume


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def reals(seed=1):
    return torch.rand(8, 3, 16, 16, generator=seeded(seed)) * 2 - 1


@pytest.mark.parametrize(
    "model", [{}, {"mode": "latent"}, {"mode": "fusion"}, {"classical_baseline": True}, {"name": "dcgan"}]
)
def test_first_adam_step_moves_each_group_by_its_own_rate(model, tiny):
    """Adam's first step is rate * g / (|g| + eps): its size is the rate wherever the gradient is not tiny."""
    rates = {"lr_quantum": 0.03, "lr_classical": 4e-4, "lr_discriminator": 7e-4}
    config = tiny(model=model, training=rates)
    generator, discriminator = build(config.model, 16, seeded())
    state = TrainingState.create(config, generator, discriminator)
    quantum = [f"generator.{n}" for n, _ in generator.named_parameters() if n.startswith("circuits.")]

    def weights():
        modules = {"generator": generator, "discriminator": discriminator}
        return {f"{m}.{n}": p.detach().clone() for m, module in modules.items() for n, p in module.named_parameters()}

    before = weights()
    train_step(state, reals(), config.training)
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
    state = TrainingState.create(config, *build(config.model, 16, seeded()))
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        assert all(group["betas"] == (0.3, 0.7) for group in optimizer.param_groups)
    train_step(state, reals(), config.training)
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
            generator, discriminator = build(config.model, 16, seeded())
            state = TrainingState.create(config, generator, discriminator)
            real = reals()
            losses = train_step(state, real, config.training)
            copy, discriminator = build(config.model, 16, seeded())
            batch = copy.discriminator_inputs(real, copy.sample_latent(8, seeded_generator(0, "noise", 0)))
            logits = discriminator(batch.real).detach(), discriminator(batch.fake).detach()
            expected = discriminator_loss(loss, *logits), generator_loss(loss, logits[1])
            assert losses.discriminator == pytest.approx(expected[0].item(), rel=1e-4, abs=1e-6)
            assert losses.generator == pytest.approx(expected[1].item(), rel=1e-4, abs=1e-6)
            if mode == "image":
                assert losses.reconstruction is None
            else:
                assert losses.reconstruction == pytest.approx(batch.reconstruction.item(), rel=1e-5)


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
    original = step_module.diff_augment
    monkeypatch.setattr(step_module, "diff_augment", lambda *a: (called.append(state.step), original(*a))[1])
    for seed in range(4):
        train_step(state, reals(seed), config.training)
    assert called == [2, 2, 2, 3, 3, 3]  # Real, generated, and generated again in the generator's update.


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_factor_stays_and_then_falls_evenly_to_one_step_before_nothing(steps, decay_from):
    factors = [learning_rate_factor(step, steps, decay_from) for step in {0, steps // 3, steps // 2, steps - 1}]
    assert all(0 < factor <= 1 for factor in factors)
    for step in {0, steps // 3, steps // 2, steps - 1}:
        expected = min(1.0, (1 - step / steps) / (1 - decay_from)) if decay_from < 1 else 1.0
        assert learning_rate_factor(step, steps, decay_from) == pytest.approx(expected)


def test_every_group_gets_its_own_rate():
    model = {
        "name": "hybridq",
        "sub_generators": 1,
        "num_qubits": 2,
        "reps": 1,
        "decoder_width": 8,
        "discriminator_width": 8,
    }
    training = {"lr_quantum": 0.3, "lr_classical": 0.2, "lr_discriminator": 0.1, "lr_decay_from": 0.5}
    config = RunConfig.model_validate({"model": model, "data": {"resolution": 16}, "training": training})
    state = TrainingState.create(config, *build(config.model, 16, torch.Generator().manual_seed(0)))
    for step, factor in ((0, 1), (10, 1), (15, 0.5), (19, 0.1)):
        state.step = step
        set_learning_rates(state, config.training, 20)
        rates = {group["name"]: group["lr"] for group in state.generator_optimizer.param_groups}
        assert rates == {"quantum": pytest.approx(0.3 * factor), "classical": pytest.approx(0.2 * factor)}
        assert state.discriminator_optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)


def test_falling_rates_change_what_is_learned_and_only_from_there_on(tiny, tmp_path):
    logs = {}
    for decay_from in (1.0, 0.5):
        config = tiny(training={"lr_decay_from": decay_from})
        [run] = fit(config, tmp_path / str(decay_from))
        logs[decay_from] = [
            json.loads(line)["loss_discriminator"] for line in (run / "stats.jsonl").read_text().splitlines()
        ]
    # Steps 1 to 4 are made at full rates (the fourth at the beginning of the fall); what the fifth sees is another.
    assert logs[1.0][:4] == logs[0.5][:4]
    assert logs[1.0][5] != logs[0.5][5]


def test_run_whose_rates_fell_says_what_making_it_longer_means(tiny, tmp_path, logged):
    [run] = fit(tiny(training={"lr_decay_from": 0.5}), tmp_path)
    resume(run, {"training": {"steps": 8}})
    assert any("toward step 6" in line and "toward step 8" in line for line in logged())
    assert len((run / "stats.jsonl").read_text().splitlines()) == 8
    before = len(logged())
    resume(run, {})
    assert not any("learning rates" in line for line in logged()[before:])

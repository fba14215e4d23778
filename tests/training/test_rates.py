"""Step sizes stay, then fall in a straight line to nothing, for every group; a run that has begun to end cannot be longer."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.config import RunConfig
from qgan_qiskit.models import build
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import learning_rate_factor, set_learning_rates
from qgan_qiskit.workflows.fit import fit, resume


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
    assert any("fell toward step 6; from now on they fall toward step 8" in line for line in logged())
    assert len((run / "stats.jsonl").read_text().splitlines()) == 8
    before = len(logged())
    resume(run, {})
    assert not any("fell toward" in line for line in logged()[before:])

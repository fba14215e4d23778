"""Fault F6: NaN and Inf, wherever they appear, stop the run at that step before they are learned."""

import pytest
import torch

from qgan_qiskit.errors import DivergedError
from qgan_qiskit.models import build
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.training import step
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step
from qgan_qiskit.workflows.fit import fit, resume

BAD = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def poison_gradient(module, value):
    parameter = next(p for p in module.parameters() if p.numel())
    parameter.register_hook(lambda gradient: torch.full_like(gradient, value))


def poisoned(module, value):
    """Let a module's output hold one bad number; gradients still flow."""

    def hook(_module, _inputs, output):
        mask = torch.zeros_like(output, dtype=torch.bool)
        mask[(1,) * mask.dim()] = True
        return output.masked_fill(mask, value)

    module.register_forward_hook(hook)


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
@pytest.mark.parametrize("mode", ["image", "latent", "fusion"])
@pytest.mark.parametrize(
    ("place", "network"),
    [
        ("real image", "discriminator"),
        ("QNN output", "discriminator"),
        ("discriminator gradient", "discriminator"),
        ("discriminator loss", "discriminator"),
        ("generator gradient", "generator"),
        ("quantum gradient", "generator"),
        ("generator loss", "generator"),
    ],
)
def test_a_bad_number_stops_before_the_update(place, network, mode, value, tiny, monkeypatch):
    config = tiny(model={"mode": mode})
    generator, discriminator = build(config.model, 16, torch.Generator().manual_seed(0))
    state = TrainingState.create(config, generator, discriminator)
    real = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    train_step(state, real.clone(), config.training)
    if place == "real image":
        if mode == "latent" and value != BAD["nan"]:
            value = BAD["nan"]  # An infinite pixel ends in tanh, a finite latent; its reconstruction error does not.
        real[2, 1, 4, 5] = value
    elif place == "QNN output":
        poisoned(generator.circuits, value)
    elif place == "discriminator gradient":
        poison_gradient(discriminator, value)
    elif place == "generator gradient":
        poison_gradient(generator.decoder if mode != "latent" else generator.image_encoder, value)
    elif place == "quantum gradient":
        poison_gradient(generator.circuits, value)
    else:
        name = place.replace(" ", "_")
        original = getattr(step, name)
        monkeypatch.setattr(step, name, lambda *arguments: original(*arguments) + value)
    watched = {"generator": generator} | ({"discriminator": discriminator} if network == "discriminator" else {})

    def everything():
        weights = [p.detach().clone() for module in watched.values() for p in module.parameters()]
        moments = [
            tensor.clone()
            for name in watched
            for entries in getattr(state, f"{name}_optimizer").state.values()
            for tensor in entries.values()
        ]
        return [*weights, *moments, *[state.ema.average[name].clone() for name, _ in generator.named_parameters()]]

    before = everything()
    # Infinite images may pass the batch norm as NaN: either network may be the one that notices, at this step.
    with pytest.raises(DivergedError, match=r"at step 1: nothing was updated with it") as error:
        train_step(state, real, config.training)
    assert error.value.exit_code == 5
    assert state.step == 1
    assert all(torch.equal(a, b) for a, b in zip(before, everything(), strict=True))
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_an_infinite_pixel_in_latent_mode_is_noticed_by_the_reconstruction(tiny):
    config = tiny(model={"mode": "latent"})
    state = TrainingState.create(config, *build(config.model, 16, torch.Generator().manual_seed(0)))
    real = torch.rand(8, 3, 16, 16)
    real[0, 0, 0, 0] = float("inf")
    with pytest.raises(DivergedError, match="at step 0"):
        train_step(state, real, config.training)


def test_a_diverging_run_keeps_its_last_checkpoint_and_exits_with_5(main, tiny_options, tmp_path, monkeypatch):
    from qgan_qiskit.data import Batches

    original = Batches.batch
    with monkeypatch.context() as patch:
        patch.setattr(Batches, "batch", lambda self, s: original(self, s) * (float("nan") if s == 5 else 1))
        status, out, err = main("fit", *tiny_options, "--outdir", tmp_path)
    assert (status, out) == (5, "")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "is nan at step 5: nothing was updated with it" in line
    (run,) = tmp_path.iterdir()
    path, tensors, values, complaints = checkpoint.load_newest(run / "checkpoints")
    assert (path.name, values["step"], complaints) == ("step-00000004", 4, [])
    assert all(value.isfinite().all() for members in tensors.values() for value in members.values())
    assert main("fit", "--resume", run)[0] == 0


def test_an_exploding_run_stops_by_itself_and_its_checkpoints_are_finite(tiny, tmp_path):
    """No injection: a penalty and step sizes beyond reason."""
    config = tiny(
        model={"mode": "latent"},
        training={
            "loss": "wgan-gp",
            "gp_weight": 1e18,
            "steps": 60,
            "snap": 1,
            "lr_discriminator": 1.0,
            "lr_classical": 1.0,
        },
    )
    with pytest.raises(DivergedError, match="at step"):
        fit(config, tmp_path)
    (run,) = tmp_path.iterdir()
    _, tensors, _, _ = checkpoint.load_newest(run / "checkpoints")
    assert all(value.isfinite().all() for members in tensors.values() for value in members.values())
    with pytest.raises(DivergedError):
        resume(run, {})

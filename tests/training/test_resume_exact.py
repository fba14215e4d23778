"""Fault F2: a run that was cut, again and again, ends bit for bit like one that was not."""

import json

import pytest
from tiny_runs import DCGAN, fingerprint, leftovers

from qgan_qiskit.circuits import circuit_spec_to_qasm, hybridq_ansatz
from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.training import loop
from qgan_qiskit.workflows.fit import fit, resume

VARIANTS = {
    f"{mode} {loss}": (
        {"mode": mode, "discriminator_norm": "spectral" if loss == "wgan-gp" else "batch"},
        {"loss": loss},
    )
    for mode in ("image", "latent", "fusion")
    for loss in ("bce", "hinge", "wgan-gp")
} | {
    "adaptive image": ({"latent_range": "adaptive"}, {}),
    "adaptive fusion, paper decoder": ({"latent_range": "adaptive", "mode": "fusion", "decoder": "paper"}, {}),
    "spectral norm": ({"discriminator_norm": "spectral"}, {"loss": "hinge"}),
    "diff_augment": ({}, {"diff_augment": "color,translation,cutout"}),
    "classical_baseline": ({"classical_baseline": True}, {}),
    "classical baseline with a diagonal": ({"classical_baseline": True, "reps": 3, "mode": "fusion"}, {}),
    "linear encoder, complex amplitudes": (
        {"encoder": "linear", "encoding": "ry_rx", "entangler": "cz", "readout": "x"},
        {},
    ),
    "bfloat16": ({}, {"precision": "bf16"}),
    "bfloat16 latent wgan-gp": ({"mode": "latent"}, {"precision": "bf16", "loss": "wgan-gp"}),
    "no average, one checkpoint": ({}, {"ema_decay": 0.0, "keep": 1}),
    "falling step sizes": ({}, {"lr_decay_from": 0.3}),
    "dcgan": (DCGAN, {}),
    "plain gradient descent": ({}, {"optimizer": "sgd", "lr_quantum": 0.3, "lr_classical": 0.05}),
    "r1": ({"discriminator_norm": "spectral"}, {"r1_weight": 1.0}),
    "diff_augment later": ({}, {"diff_augment": "translation", "diff_augment_from": 4}),
    "dcgan spectral wgan-gp": (DCGAN | {"discriminator_norm": "spectral"}, {"loss": "wgan-gp"}),
}


class Killed(BaseException):
    """What no handler of the library may catch, as it cannot catch SIGKILL."""


def cut_before(step, monkeypatch):
    """Let the loop end, saving nothing, before the step of this number."""
    original = loop.train_step

    def train_step(state, *arguments):
        if state.step == step:
            raise Killed
        return original(state, *arguments)

    monkeypatch.setattr(loop, "train_step", train_step)


@pytest.mark.parametrize("name", VARIANTS)
def test_cut_three_times_and_resumed(name, tiny, tmp_path, monkeypatch):
    model, training = VARIANTS[name]
    config = tiny(model=model, training=training)
    (uncut,) = fit(config, tmp_path / "uncut")
    with monkeypatch.context() as patch:
        cut_before(1, patch)  # Before the first checkpoint.
        with pytest.raises(Killed):
            fit(config, tmp_path / "cut")
    (run,) = (tmp_path / "cut").iterdir()
    for step in (3, 5):  # A step after a checkpoint: it is lost, and its line of the log with it.
        with monkeypatch.context() as patch:
            cut_before(step, patch)
            with pytest.raises(Killed):
                resume(run, {})
    resume(run, {})
    assert fingerprint(run) == fingerprint(uncut)
    assert not leftovers(run)


def test_a_users_circuit(tiny, tmp_path, monkeypatch):
    path = tmp_path / "mine.qasm"
    path.write_text(circuit_spec_to_qasm(hybridq_ansatz(2, 1)))
    config = tiny(model={"ansatz": str(path)})
    (uncut,) = fit(config, tmp_path / "uncut")
    with monkeypatch.context() as patch:
        cut_before(3, patch)
        with pytest.raises(Killed):
            fit(config, tmp_path / "cut")
    path.unlink()
    (run,) = (tmp_path / "cut").iterdir()
    resume(run, {})
    assert fingerprint(run) == fingerprint(uncut)
    assert json.loads((run / "config.json").read_text())["model"]["ansatz"] == "circuit.qasm"


@pytest.mark.parametrize("missing", ["circuit.qasm", "data.json", "versions.json", "checkpoints"])
@pytest.mark.parametrize("own_circuit", [False, True])
def test_killed_while_the_run_folder_was_made(missing, own_circuit, tiny, tmp_path, monkeypatch):
    path = tmp_path / "mine.qasm"
    path.write_text(circuit_spec_to_qasm(hybridq_ansatz(2, 1)))
    config = tiny(model={"ansatz": str(path)} if own_circuit else {}, training={"steps": 2})
    (uncut,) = fit(config, tmp_path / "uncut")
    from qgan_qiskit.runs.run_folder import RunFolder

    write = RunFolder.write_text

    def killed(self, name, text):
        if name == missing:
            raise Killed
        write(self, name, text)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        if missing == "checkpoints":
            cut_before(0, patch)
        patch.setattr(RunFolder, "write_text", killed)
        fit(config, tmp_path / "cut")
    (run,) = (tmp_path / "cut").iterdir()
    if missing == "versions.json":
        with pytest.raises(CheckpointError, match="not a run folder"):
            resume(run, {})
        return
    resume(run, {})
    assert fingerprint(run) == fingerprint(uncut)


def test_more_steps_than_planned_equal_a_run_planned_so(tiny, tmp_path, logged):
    (long,) = fit(tiny(training={"steps": 6}), tmp_path / "long")
    (short,) = fit(tiny(training={"steps": 3}), tmp_path / "short")
    resume(short, {"training": {"steps": 5}})
    resume(short, {"training": {"steps": 6}})
    found = fingerprint(short)
    del found["fakes_000005.png"]  # Where it ended for a while.
    assert found == fingerprint(long)
    resume(short, {})
    assert "nothing to do: 6 of 6 steps are done" in logged()[-1]


def test_newest_damaged_the_one_before_is_used_and_said(tiny, tmp_path, logged):
    (uncut,) = fit(tiny(), tmp_path / "uncut")
    (run,) = fit(tiny(), tmp_path / "damaged")
    path = run / "checkpoints" / "step-00000006" / "generator.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    resume(run, {})
    assert f"skipped {path}: damaged" in "\n".join(logged())
    assert fingerprint(run) == fingerprint(uncut)


CHANGES = {
    "model.entangler": ("model", "entangler", "cz"),
    "model.readout": ("model", "readout", "x"),
    "model.latent_high": ("model", "latent_high", 3.0),
    "training.loss": ("training", "loss", "hinge"),
    "training.lr_quantum": ("training", "lr_quantum", 0.011),
    "training.ema_decay": ("training", "ema_decay", 0.9),
    "data.augment": ("data", "augment", "flip"),
    "training.seed": ("training", "seed", 1),
    "training.batch_size": ("training", "batch_size", 4),
    "model.num_qubits": ("model", "num_qubits", 4),
    "data.synthetic_per_class": ("data", "synthetic_per_class", 33),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_edited_config_is_refused(change, tiny, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        cut_before(3, patch)
        fit(tiny(), tmp_path)
    (run,) = tmp_path.iterdir()
    section, key, value = CHANGES[change]
    content = json.loads((run / "config.json").read_text())
    content[section][key] = value
    (run / "config.json").write_text(json.dumps(content))
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    with pytest.raises(CheckpointError) as refused:
        resume(run, {})
    assert change in str(refused.value) or "the images differ" in str(refused.value)
    assert "start a new run" in str(refused.value)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before


def test_an_edited_circuit_is_refused(tiny, tmp_path, monkeypatch):
    path = tmp_path / "mine.qasm"
    path.write_text(circuit_spec_to_qasm(hybridq_ansatz(2, 1)))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        cut_before(3, patch)
        fit(tiny(model={"ansatz": str(path)}), tmp_path / "runs")
    (run,) = (tmp_path / "runs").iterdir()
    (run / "circuit.qasm").write_text(circuit_spec_to_qasm(hybridq_ansatz(2, 1, entangler="cz")))
    with pytest.raises(CheckpointError, match=r"model\.ansatz is .* and was"):
        resume(run, {})

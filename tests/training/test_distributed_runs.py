"""Whole runs on two processes: the same run folder, which resumes on any number of devices, and the same failures."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_runs import without

from qgan_qiskit.errors import DataError, QganError
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.training.distributed import SINGLE_PROCESS
from qgan_qiskit.workflows.fit import fit, fit_into, resume

# Enough for the two to differ if they do, and a checkpoint in the middle.
TRAINING = {"steps": 6, "snap": 3, "diff_augment": "color,translation,cutout"}


@pytest.fixture(scope="module")
def alone(tiny, tmp_path_factory):
    """Return a run of one process."""
    (run,) = fit(tiny(training=TRAINING), tmp_path_factory.mktemp("alone"))
    return run


def assert_alike(run, other):
    """Compare what two runs leave behind: the same files, settings and numbers, up to the order of sums."""
    names = [
        sorted(str(path.relative_to(one)) for path in one.rglob("*") if path.name != ".lock") for one in (run, other)
    ]
    assert names[0] == names[1]
    settings = [json.loads((one / "config.json").read_text()) for one in (run, other)]
    for one in settings:
        one["training"] = {name: value for name, value in one["training"].items() if name != "devices"}
    assert settings[0] == settings[1]
    (_, tensors, values, _), (_, other_tensors, other_values, _) = (
        checkpoint.load_newest(one / "checkpoints") for one in (run, other)
    )
    assert values == other_values
    for file, members in tensors.items():
        assert set(members) == set(other_tensors[file])
        for name, tensor in members.items():
            torch.testing.assert_close(other_tensors[file][name], tensor, rtol=1e-4, atol=1e-4)
    rows = [[json.loads(line) for line in (one / "stats.jsonl").read_text().splitlines()] for one in (run, other)]
    for mine, theirs in zip(*rows, strict=True):
        for row in (mine, theirs):
            del row["images_per_second"]
        assert theirs == pytest.approx(mine, rel=1e-4)


def test_a_run_that_changes_its_number_of_devices(alone, tiny, tmp_path, capfd, logged):
    """One process, then two, then one again; the folder is that of one process throughout."""
    (run,) = fit(tiny(training=TRAINING | {"steps": 2}), tmp_path)
    resume(run, {"training": {"steps": 4, "devices": 2}})
    assert json.loads((run / "config.json").read_text())["training"]["devices"] == 2
    assert checkpoint.published(run / "checkpoints")[-1].name == "step-00000004"
    resume(run, {"training": {"steps": 6, "devices": 1}})
    for number in (2, 4):  # Where it ended for a while.
        (run / f"fakes_{number:06d}.png").unlink()
    last = alone / "checkpoints" / "step-00000003"
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"step-00000004", "step-00000006"}
    (run / "checkpoints" / "step-00000004").rename(run / "checkpoints" / last.name)
    assert_alike(alone, run)
    assert [line for line in logged() if line.startswith("resuming")] == [
        "resuming step-00000002",
        "resuming step-00000004",
    ]
    assert logged()[-1] == f"done: {run}"
    assert "Warning" not in capfd.readouterr().err


def command(tmp_path, *arguments):
    """Start the command line as a user does."""
    arguments = [sys.executable, "-m", "qgan_qiskit.cli", "fit", *[str(argument) for argument in arguments]]
    return subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(process):
    """Return the processes that a process has started to train."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = int(re.search(r"^PPid:\t(\d+)$", status.read_text(), re.MULTILINE)[1])
            command_line = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == process.pid and "spawn_main" in command_line:
            found.append(int(status.parent.name))
    return found


def test_the_command_line_stops_and_resumes(alone, tiny_options, tmp_path):
    """SIGTERM to the command, SIGINT to one of its processes: saved once each time, and the run ends as one never stopped."""
    options = [
        *tiny_options,
        *[part for name, value in TRAINING.items() for part in (f"--{name.replace('_', '-')}", value)],
    ]
    run = tmp_path / "runs" / alone.name
    many = ["--steps", 100_000, "--snap", 100_000, "--devices", 2]
    done = 0
    for number, begin in ((signal.SIGTERM, [*options, "--outdir", "runs", *many]), (signal.SIGINT, ["--resume", run])):
        process = command(tmp_path, *begin)
        log = run / "stats.jsonl"
        while not log.is_file() or log.read_bytes().count(b"\n") <= done:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        os.kill(process.pid if number == signal.SIGTERM else children(process)[-1], number)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 128 + number, said
        (saved,) = checkpoint.published(run / "checkpoints")[-1:]
        done = int(saved.name.removeprefix("step-"))
        assert log.read_bytes().count(b"\n") == done
        shown = Path("runs") / alone.name if number == signal.SIGTERM else run
        place = shown / "checkpoints" / saved.name
        assert said.splitlines()[-1] == f"stopped at step {done}, saved {place}; continue with --resume {shown}"
        for word in ("Traceback", "Warning", "distributed_backend", "Terminating"):
            assert word not in said
    rows, expected = ([json.loads(line) for line in (one / "stats.jsonl").open()] for one in (run, alone))
    assert [row["step"] for row in rows] == list(range(1, done + 1))
    # Later ones drift apart: what is learned from a last digit grows.
    for row, mine in zip(rows, expected, strict=False):
        assert row["loss_discriminator"] == pytest.approx(mine["loss_discriminator"], rel=1e-4)
        assert row["loss_generator"] == pytest.approx(mine["loss_generator"], rel=1e-4)


def one_error_line(err):
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert err.splitlines()[-1] == line
    assert "Traceback" not in err
    return line


def test_a_run_that_diverges_ends_all_with_status_5(main, tiny_options, tmp_path):
    """No injection: a penalty and step sizes beyond reason."""
    wild = ["--mode", "latent", "--loss", "wgan-gp", "--gp-weight", 1e18, "--lr-discriminator", 1, "--lr-classical", 1]
    options = without(tiny_options, "--discriminator-width", "--steps")
    status, out, err = main("fit", *options, *wild, "--snap", 1, "--steps", 60, "--devices", 2, "--outdir", tmp_path)
    assert (status, out) == (5, "")
    assert re.search(r"is not finite at step \d+: |is nan at step \d+: ", one_error_line(err))
    (run,) = tmp_path.iterdir()
    _, tensors, _, _ = checkpoint.load_newest(run / "checkpoints")
    assert all(value.isfinite().all() for members in tensors.values() for value in members.values())


def test_a_disk_that_refuses_ends_all_with_status_6(tiny, tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(QganError, match="checkpoint not written") as refused:
        fit_into(tiny(training={"devices": 2}), tmp_path)
    assert refused.value.exit_code == 6


def test_all_classes_are_trained_in_turn(tiny, tmp_path, monkeypatch):
    """Each by processes of its own, which get what can be sent to them."""
    launched = []

    def launch(device, devices, work, *arguments):
        launched.append((device.type, devices))
        work(SINGLE_PROCESS, device, *pickle.loads(pickle.dumps(arguments)))

    monkeypatch.setattr("qgan_qiskit.workflows.fit.launch", launch)
    everything = {"class_name": "all"}
    together = fit(tiny(data=everything, training={"steps": 2, "devices": 2}), tmp_path / "together")
    assert launched == [("cpu", 2)] * len(together)
    alone = fit(tiny(data=everything, training={"steps": 2}), tmp_path / "alone")
    assert len(alone) > 1
    for mine, theirs in zip(alone, together, strict=True):
        assert mine.name == theirs.name
        assert_alike(mine, theirs)


def test_images_that_change_under_way_are_noticed(tiny, tmp_path, monkeypatch):
    def launch(device, _devices, work, path, config, _digest, *rest):
        work(SINGLE_PROCESS, device, path, config, "another", *rest)

    monkeypatch.setattr("qgan_qiskit.workflows.fit.launch", launch)
    with pytest.raises(DataError, match="the images changed"):
        fit(tiny(training={"devices": 2}), tmp_path)

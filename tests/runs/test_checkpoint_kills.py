"""Fault F1: SIGKILL at every point of a save, and at random times. No published checkpoint is lost, no partial one taken."""

import os
import random
import shutil
import signal
import time

import pytest
import torch
from disk_faults import killed_at, points

from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.run_folder import RunFolder


def content(step):
    """Tensors and values that tell the step."""
    random_numbers = torch.Generator().manual_seed(step)
    files = ("generator", "ema", "discriminator", "generator_optimizer", "discriminator_optimizer")
    tensors = {name: {"a": torch.rand(40, 3, generator=random_numbers), "b": torch.tensor(step)} for name in files}
    return tensors, {"step": step, "text": f"step {step}"}


def save(folder, step, keep=2):
    return checkpoint.save(folder, step, *content(step), keep)


def is_whole(path, step):
    tensors, values = checkpoint.load(path)
    expected, expected_values = content(step)
    return values == expected_values and all(
        torch.equal(tensors[file][name], value) for file, members in expected.items() for name, value in members.items()
    )


def damage(path):
    data = bytearray((path / "ema.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "ema.safetensors").write_bytes(data)


def first(folder):
    return [], 1


def third_of_two(folder):
    save(folder, 1)
    save(folder, 2)
    return [2], 3


def again_over_a_damaged_one(folder):
    save(folder, 1)
    damage(save(folder, 2))
    return [1], 2


def before_a_damaged_one(folder):
    """Resumed from step 2 because 4 is damaged, and stopped by a signal at step 3."""
    save(folder, 2)
    damage(save(folder, 4))
    return [2], 3


@pytest.mark.parametrize(
    ("prepare", "keep", "every"),
    [(first, 2, 3), (third_of_two, 2, 1), (again_over_a_damaged_one, 2, 3), (before_a_damaged_one, 1, 3)],
)
def test_killed_at_the_points_of_a_save(prepare, keep, every, ram_path):
    """At every point of the usual save, and at every third one of the others."""
    base = ram_path / "base" / "checkpoints"
    base.parent.mkdir()
    survivors, step = prepare(base)
    counted = ram_path / "counted"
    shutil.copytree(base.parent, counted)
    names = points(lambda: save(counted / "checkpoints", step, keep))
    published = 0
    for number in range(0, len(names), every):
        run = ram_path / f"run{number}"
        shutil.copytree(base.parent, run)
        folder = run / "checkpoints"
        killed_at(number, lambda folder=folder: save(folder, step, keep))
        try:
            newest, *_ = checkpoint.load_newest(folder)
        except CheckpointError:
            assert not survivors, f"lost at point {number}, {names[number]}"
        else:
            found = int(newest.name.removeprefix("step-"))
            assert found in [*survivors, step], f"{newest} at point {number}, {names[number]}"
            assert is_whole(newest, found)
            published += found == step
        # The next save works, and clears away whatever the killed one left.
        save(folder, 9, keep)
        assert [path.name for path in folder.iterdir() if not path.name.startswith("step-")] == []
        assert is_whole(checkpoint.load_newest(folder)[0], 9)
        assert len(checkpoint.published(folder)) <= keep
        shutil.rmtree(run)
    assert len(names) > 50
    assert 0 < published < len(names)


def test_the_order_of_a_save(ram_path):
    """Data reach the disk before the name does, and old checkpoints go last."""
    folder = ram_path / "checkpoints"
    save(folder, 1)
    save(folder, 2)
    names = points(lambda: save(folder, 3))
    rename = names.index("before rename")
    assert (
        names[:rename].count("after fsync") == names[:rename].count("after write") + 1 == 8
    )  # 7 files, then their folder.
    assert names[rename + 2] == "before fsync"
    assert "before unlink" not in names[:rename]
    assert names[rename + 4 :].count("before unlink") == 7


def test_killed_while_a_file_of_the_run_folder_is_written(ram_path, tiny):
    """Old or new, never half; and the next process that takes the run clears away what is left."""
    run = RunFolder.create(ram_path, tiny(), "a")
    run.write_text("note.txt", "old" * 99)
    names = points(lambda: run.write_text("note.txt", "old" * 99))
    found = set()
    for number in range(len(names)):
        killed_at(number, lambda: run.write_text("note.txt", "new" * 77))
        text = (run.path / "note.txt").read_text()
        assert text in ("old" * 99, "new" * 77)
        left = [path.name for path in run.path.glob("*.staging*")] + [path.name for path in run.path.glob(".*.staging")]
        found.add((text[:3], bool(left)))
        with RunFolder.open(run.path):
            assert not [path for path in run.path.iterdir() if "staging" in path.name]
        run.write_text("note.txt", "old" * 99)
    assert found == {("old", False), ("old", True), ("new", False)}


def test_killed_at_random_times(ram_path):
    folder = ram_path / "checkpoints"
    moments = random.Random(7)
    save(folder, 1)
    newest, sum_of_new = 1, 0
    for number in range(30):
        child = os.fork()
        if child == 0:
            step = newest
            while True:
                step += 1
                save(folder, step)
        time.sleep(moments.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        path, *_ = checkpoint.load_newest(folder)
        found = int(path.name.removeprefix("step-"))
        assert found >= newest, f"kill {number} lost a checkpoint"
        assert is_whole(path, found)
        sum_of_new += found - newest
        newest = found
    save(folder, newest + 1)
    assert sorted(path.name for path in folder.iterdir()) == [f"step-{newest + i:08d}" for i in (0, 1)]
    assert sum_of_new > 0

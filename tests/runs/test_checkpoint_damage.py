"""Faults F5 and F10: bit rot, and checkpoints that somebody made to hurt. All refused, nothing runs, the one before is used."""

import hashlib
import json
import os
import pickle
import random
import shutil
import struct

import pytest
import safetensors.torch
import torch
from test_checkpoint_kills import content, is_whole, save

from qgan_qiskit.errors import CheckpointError
from qgan_qiskit.models import build
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.training.state import TrainingState
from qgan_qiskit.training.step import train_step


@pytest.fixture
def two(ram_path):
    """Checkpoints of steps 1 and 2."""
    save(ram_path, 1)
    return ram_path, save(ram_path, 2)


def refused(folder, newest, file):
    """The newest is refused by name, and the one before is used, which is said in one line."""
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(newest)
    path, _, _, complaints = checkpoint.load_newest(folder)
    return path.name == "step-00000001" and len(complaints) == 1 and file in complaints[0] and file in str(error.value)


def test_flipped_bits_are_noticed(two):
    folder, newest = two
    numbers, tried = random.Random(5), 0
    for path in sorted(newest.iterdir()):
        data = path.read_bytes()
        for bit in numbers.sample(range(len(data) * 8), 900 if path.name == "manifest.json" else 50):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            assert refused(folder, newest, "step-00000002"), f"{path.name}, bit {bit}"
            tried += 1
        path.write_bytes(data)
        assert is_whole(newest, 2)
    assert tried > 1000


def test_truncations_and_appendices_are_noticed(two):
    folder, newest = two
    numbers, tried = random.Random(6), 0
    for path in sorted(newest.iterdir()):
        data = path.read_bytes()
        for length in {0, 1, len(data) - 1, *numbers.sample(range(len(data)), 20)}:
            path.write_bytes(data[:length])
            assert refused(folder, newest, path.name), f"{path.name} cut to {length} bytes"
            tried += 1
        if path.name != "manifest.json":
            path.write_bytes(data + b"\0")
            assert refused(folder, newest, path.name)
        path.unlink()
        assert refused(folder, newest, path.name)
        path.write_bytes(data)
    assert tried > 100


def test_no_whole_checkpoint_is_said_with_the_reason(two):
    folder, newest = two
    for path in (newest, folder / "step-00000001"):
        (path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"no whole checkpoint: .*no manifest\.json"):
        checkpoint.load_newest(folder)
    with pytest.raises(CheckpointError, match="no whole checkpoint; start"):
        checkpoint.load_newest(folder / "nowhere")


def test_swapped_files_of_the_same_size_are_noticed(two):
    folder, newest = two
    a, b = newest / "generator.safetensors", newest / "ema.safetensors"
    assert a.stat().st_size == b.stat().st_size
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    assert refused(folder, newest, "step-00000002")


def forge(newest, files=None, manifest=None, raw=None):
    """Replace files and make the manifest fit them; then replace the manifest's members, or all of it."""
    for name, data in (files or {}).items():
        (newest / name).write_bytes(data)
    entries = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in newest.iterdir()
        if path.is_file() and path.name != "manifest.json"
    }
    made = {"format": 1, "step": 2, "files": entries} | (manifest or {})
    (newest / "manifest.json").write_bytes(json.dumps(made).encode() if raw is None else raw)


class Bomb:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def header(text, data=b""):
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


NESTED = "[" * 200_000
GOOD = {"bytes": 1, "sha256": "0" * 64}
HOSTILE = {
    "a pickle for tensors": lambda c: {"files": {"generator.safetensors": pickle.dumps(Bomb(c))}},
    "a torch file for tensors": lambda c: {"files": {"generator.safetensors": b"PK\x03\x04" + pickle.dumps(Bomb(c))}},
    "a pickle for state.json": lambda c: {"files": {"state.json": pickle.dumps(Bomb(c))}},
    "a pickle beside, named": lambda c: {"files": {"extra.pkl": pickle.dumps(Bomb(c))}},
    "a pickle for the manifest": lambda c: {"raw": pickle.dumps(Bomb(c))},
    "a giant header": lambda _: {"files": {"ema.safetensors": struct.pack("<Q", 2**62) + b"{}"}},
    "a header longer than the file": lambda _: {"files": {"ema.safetensors": struct.pack("<Q", 99) + b"{}"}},
    "offsets outside": lambda _: {
        "files": {"ema.safetensors": header('{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', b"1234")}
    },
    "overlapping tensors": lambda _: {
        "files": {
            "ema.safetensors": header(
                '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
                b"123456",
            )
        }
    },
    "an overflowing shape": lambda _: {
        "files": {
            "ema.safetensors": header(
                '{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}', b"1234"
            )
        }
    },
    "an unknown number format": lambda _: {
        "files": {"ema.safetensors": header('{"a":{"dtype":"F77","shape":[1],"data_offsets":[0,4]}}', b"1234")}
    },
    "a number format torch lacks": lambda _: {
        "files": {"ema.safetensors": header('{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}', b"1")}
    },
    "JSON nested too deep in the header": lambda _: {"files": {"ema.safetensors": header(NESTED)}},
    "JSON nested too deep in state.json": lambda _: {"files": {"state.json": NESTED.encode()}},
    "JSON nested too deep in the manifest": lambda _: {"raw": NESTED.encode()},
    "state.json is a list": lambda _: {"files": {"state.json": b"[]"}},
    "state.json of another step": lambda _: {"files": {"state.json": b'{"step": 3}'}},
    "state.json is not UTF-8": lambda _: {"files": {"state.json": b'{"step": 2, "\xff": 1}'}},
    "the manifest names ../x": lambda _: {"manifest": {"files": {"../x.json": GOOD}}},
    "the manifest names ..": lambda _: {"manifest": {"files": {"..": GOOD}}},
    "the manifest names /etc/passwd": lambda _: {"manifest": {"files": {"/etc/passwd": GOOD}}},
    "the manifest names a NUL": lambda _: {"manifest": {"files": {"a\0.json": GOOD}}},
    "the manifest names nothing": lambda _: {"manifest": {"files": {}}},
    "the manifest's files are a list": lambda _: {"manifest": {"files": ["state.json"]}},
    "the manifest's size is infinite": lambda _: {
        "raw": b'{"format": 1, "step": 2, "files": {"a.json": {"bytes": 1e999, "sha256": ""}}}'
    },
    "the manifest's size is text": lambda _: {"manifest": {"files": {"a.json": {"bytes": "x", "sha256": ""}}}},
    "the manifest lacks its hashes": lambda _: {"manifest": {"files": {"state.json": {"bytes": 1}}}},
    "the manifest has no step": lambda _: {"raw": b'{"format": 1, "files": {}}'},
    "format 99": lambda _: {"manifest": {"format": 99}},
    "no format": lambda _: {"raw": b'{"step": 2, "files": {}}'},
    "an empty manifest": lambda _: {"raw": b""},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_checkpoints_are_refused_and_run_nothing(what, two):
    folder, newest = two
    canary = folder / "canary"
    forge(newest, **HOSTILE[what](str(canary)))
    assert refused(folder, newest, "step-00000002")
    assert not canary.exists()
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(newest)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    if what == "format 99":
        assert "format 99, this version reads 1" in str(error.value)


@pytest.mark.parametrize("what", ["pipe", "device", "folder", "link to a folder"])
def test_what_is_no_file_is_not_waited_for(what, two):
    folder, newest = two
    path = newest / "ema.safetensors"
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(folder)
    # A pipe and a device have size 0: let the manifest say the same.
    manifest = json.loads((newest / "manifest.json").read_text())
    manifest["files"][path.name]["bytes"] = path.stat().st_size
    (newest / "manifest.json").write_text(json.dumps(manifest))
    assert refused(folder, newest, "ema.safetensors")


def test_an_unmentioned_file_is_ignored(two):
    _, newest = two
    (newest / "extra.pkl").write_bytes(pickle.dumps(Bomb("/nowhere/at/all")))
    assert is_whole(newest, 2)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A checkpoint of a real run with adaptive noise, and a function that makes a fresh state for it."""
    config = tiny(model={"mode": "fusion", "latent_range": "adaptive"})

    def fresh():
        return TrainingState.create(config, *build(config.model, 16, torch.Generator().manual_seed(9)))

    state = fresh()
    for seed in range(2):
        train_step(state, torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed)), config.training)
    folder = tmp_path_factory.mktemp("trained")
    return checkpoint.save(folder, state.step, state.tensors(), state.values(), 1), fresh


FILES = ("generator", "ema", "discriminator", "generator_optimizer", "discriminator_optimizer")


def test_a_whole_checkpoint_is_taken_over_bit_by_bit(trained):
    path, fresh = trained
    state = fresh()
    tensors, values = checkpoint.load(path)
    state.load(tensors, values)
    assert state.values() == values
    assert {file: set(members) for file, members in state.tensors().items()} == {f: set(m) for f, m in tensors.items()}
    for file, members in state.tensors().items():
        for name, tensor in members.items():
            assert torch.equal(tensor, tensors[file][name])
            assert tensor.untyped_storage().data_ptr() != tensors[file][name].untyped_storage().data_ptr()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("change", ["nan", "inf", "shape", "type", "missing", "renamed", "left over", "file missing"])
def test_tensors_that_do_not_fit_the_model_are_refused(file, change, trained, tmp_path):
    original, fresh = trained
    path = tmp_path / original.name
    shutil.copytree(original, path)
    stored = safetensors.torch.load_file(path / f"{file}.safetensors")
    numbers = random.Random(f"{file} {change}")
    name = numbers.choice(sorted(name for name, value in stored.items() if value.is_floating_point() and value.dim()))
    if change in ("nan", "inf"):
        stored[name].view(-1)[numbers.randrange(stored[name].numel())] = float(change)
    elif change == "shape":
        stored[name] = torch.cat([stored[name], stored[name][:1]])
    elif change == "type":
        stored[name] = stored[name].double()
    elif change in ("missing", "renamed"):
        value = stored.pop(name)
        stored |= {"other": value} if change == "renamed" else {}
    else:
        stored["more"] = torch.zeros(1)
    if change == "file missing":
        (path / f"{file}.safetensors").unlink()
        forge(path)
    else:
        forge(path, {f"{file}.safetensors": safetensors.torch.save(stored)})
    tensors, values = checkpoint.load(path)
    with pytest.raises(CheckpointError) as error:
        fresh().load(tensors, values)
    expected = {"nan": name, "inf": name, "shape": name, "type": name, "missing": name, "left over": "more"}
    assert f"{file}.safetensors" in str(error.value)
    assert expected.get(change, "") in str(error.value)


@pytest.mark.parametrize(
    "values",
    [{}, {"step": "x"}, {"step": None}, {"step": 2}, {"step": 2, "noise": None}, {"step": 2, "noise": {"high": 1}}],
)
def test_values_that_do_not_fit_are_refused(values, trained):
    path, fresh = trained
    with pytest.raises(CheckpointError, match=r"state\.json"):
        fresh().load(checkpoint.load(path)[0], values)


def test_content_helper_differs_between_steps():
    """The tests above tell checkpoints apart by their content."""
    (a, _), (b, _) = content(1), content(2)
    assert not torch.equal(a["ema"]["a"], b["ema"]["a"])

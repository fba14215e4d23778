"""The ledger survives every cut, and manifests of another format are refused."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.hardware.ibm.submission import CircuitManifest, Ledger, Submission, SubmissionManifest, TaskState


def write_ledger(path: Path) -> Ledger:
    ledger = Ledger(path)
    ledger.write(0, "sending")
    ledger.write(0, "submitted", job_id="a", backend="ibm_x")
    ledger.write(1, "sending")
    ledger.write(0, "collected", seconds=3.5)
    ledger.write(2, "sending")
    ledger.write(2, "submitted", job_id="b", backend="ibm_x")
    ledger.write(2, "failed", reason="ran too long")
    ledger.write(2, "sending")
    return ledger


def test_states_are_those_of_the_last_event(tmp_path):
    states = write_ledger(tmp_path / "jobs.jsonl").states(4)
    assert states[0] == TaskState(0, "collected", 1, "a", "ibm_x", 3.5)
    assert states[1] == TaskState(1, "sending", 1)
    assert states[2] == TaskState(2, "sending", 2)
    assert states[3] == TaskState(3)
    assert [state.done for state in states] == [True, False, False, False]


def test_ledger_cut_anywhere_keeps_whole_lines_and_accepts_more(tmp_path):
    whole = write_ledger(tmp_path / "whole.jsonl").path.read_bytes()
    lines = whole.split(b"\n")[1:]
    for length in range(len(whole) + 1):
        ledger = Ledger(tmp_path / "cut.jsonl")
        ledger.path.write_bytes(whole[:length])
        # A line is whole with its last brace, whether its end was written or not.
        rest = whole[:length].split(b"\n")
        expected = sum(one == two for one, two in zip(rest[1:], lines, strict=False))
        assert len(list(ledger.rows())) == expected
        ledger.write(3, "sending")
        assert len(list(ledger.rows())) == expected + 1
        assert ledger.states(4)[3].attempt == 1


def test_full_disk_is_reported(tmp_path, monkeypatch):
    ledger = write_ledger(tmp_path / "jobs.jsonl")
    before = ledger.states(4)

    def refuse(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match=r"jobs.jsonl: .*No space left"):
        ledger.write(3, "sending")
    assert ledger.states(4)[:3] == before[:3]


def create_submission(path: Path) -> Submission:
    manifest = SubmissionManifest(
        id="1234",
        run="/runs/1",
        weights_sha256="0" * 64,
        seeds=(3, 5, 8),
        settings=HardwareConfig(backend="ibm:x", zne=True),
        backend="ibm_x",
        execution_mode="batch",
        circuits=(CircuitManifest(members=(0, 1), layouts=((0, 1), (3, 4)), observables=2),),
        shards=((0, 2), (2, 3)),
        versions={"qiskit": "2"},
        layers=({"qubits": [0], "gates": [], "twirl": ""},),
    )
    return Submission.create(path, manifest, np.ones((3, 2, 2)), np.zeros((2, 4)))


def test_manifest_and_inputs_are_read_back(tmp_path):
    created = create_submission(tmp_path / "new")
    opened = Submission.open(tmp_path / "new")
    assert opened.manifest == created.manifest
    angles, weights = opened.load_inputs()
    assert np.array_equal(angles, np.ones((3, 2, 2))) and np.array_equal(weights, np.zeros((2, 4)))
    assert opened.awaits_noise_model()


@pytest.mark.parametrize("number", [1, 3])
def test_manifest_of_another_format_is_refused(number, tmp_path):
    path = create_submission(tmp_path / "old").path / "submission.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))
    with pytest.raises(CheckpointError, match=f"old: .*format {number}") as refused:
        Submission.open(path.parent)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}'])
def test_damaged_manifest_is_refused(text, tmp_path):
    path = create_submission(tmp_path / "new").path / "submission.json"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"submission.json: damaged"):
        Submission.open(path.parent)

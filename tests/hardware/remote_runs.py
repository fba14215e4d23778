"""Helpers of tests that submit: submit, finish whatever failed, and inspect."""

from __future__ import annotations

import time
from pathlib import Path

from cloud.small_jobs import CANARY

from qgan_qiskit.hardware.ibm.submission import Submission

ASKED = ("--shots", "64", "--resilience-level", "0", "--images-per-job", "2")
DEVICE = ("--backend", "ibm:ibm_testchain")


class Killed(BaseException):
    """Ends a command as a kill would: none of its code runs afterward."""


def kill_at(monkeypatch, owner: type, method: str, number: int, when: str):
    """Make the call of this number, from 0, kill before or after its work; return the original method."""
    original, calls = getattr(owner, method), []

    def cut(self, *arguments, **more):
        calls.append(1)
        if len(calls) == number + 1 and when == "before":
            raise Killed
        original(self, *arguments, **more)
        if len(calls) == number + 1:
            raise Killed

    monkeypatch.setattr(owner, method, cut)
    return original


def submissions(run: Path) -> list[Path]:
    return sorted(path for path in (run / "hardware").glob("[0-9]*")) if (run / "hardware").is_dir() else []


def repair(cloud) -> None:
    cloud.set_faults([])
    cloud.set_device("*", "online")
    for instance in cloud.account.instances.values():
        instance.limit_reached = False


def runs_of(cloud, folder: Path) -> list[int]:
    """Return how often each task ran at the service: noise learning, if there is one, then the shards."""
    manifest = Submission.open(folder).manifest
    tags = [manifest.shard_tag(shard) for shard in range(len(manifest.shards))]
    return [cloud.runs_by_tag()[tag] for tag in ([manifest.noise_tag] if manifest.layers else []) + tags]


def no_key_in(run: Path, said: list[str]) -> None:
    texts = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in text for text in texts)
    assert CANARY not in "".join(said)


def submit(command, cloud, run: Path, *asked: str, refused: tuple[int, ...] = (7,)) -> Path:
    """Submit three images; again once the service is repaired if nothing was submitted."""
    status, _, _ = command("hardware", "submit", run, "-n", "3", *asked)
    assert status in (0, *refused)
    if not submissions(run):
        assert status != 0
        repair(cloud)
        for _ in range(4):
            if command("hardware", "submit", run, "-n", "3", *asked)[0] == 0:
                break
            time.sleep(1.2)
    [folder] = submissions(run)
    return folder


def finish(command, cloud, folder: Path, tries: int = 4) -> None:
    """Collect until all is complete; the service is repaired before the second attempt, or seconds later."""
    for number in range(tries):
        time.sleep(1.2 if number > 1 else 0)
        if number == 1:
            repair(cloud)
        status, _, _ = command("hardware", "collect", folder, "--no-wait" if number == 0 else "--wait")
        assert status in (0, 7)
        if status == 0 and (folder / "images").exists():
            return
    raise AssertionError("not complete")

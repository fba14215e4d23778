"""Submissions of tests: made, finished whatever was wrong, and looked at."""

from __future__ import annotations

import time
from pathlib import Path

from cloud.small_jobs import CANARY

from qgan_qiskit.hardware.ibm.submission import Submission

ASKED = ("--shots", "64", "--resilience-level", "0", "--images-per-job", "2")
DEVICE = ("--backend", "ibm:ibm_testchain")


class Killed(BaseException):
    """Ends a command as a kill would: nothing of it runs afterwards."""


def kill_at(monkeypatch, owner: type, method: str, number: int, when: str):
    """Have a method's call of this number, from 0, kill before or after its work; return the method as it was."""
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


def well_again(cloud) -> None:
    cloud.set_faults([])
    cloud.set_device("*", "online")
    for instance in cloud.account.instances.values():
        instance.limit_reached = False


def runs_of(cloud, folder: Path) -> list[int]:
    """How often each shard ran at the service, and before them the learning of the noise, where there is one."""
    described = Submission.open(folder).described
    tags = [described.tag(shard) for shard in range(len(described.shards))]
    return [cloud.runs_by_tag()[tag] for tag in ([described.noise_tag] if described.layers else []) + tags]


def no_key_in(run: Path, said: list[str]) -> None:
    texts = [path.read_bytes() for path in run.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in text for text in texts)
    assert CANARY not in "".join(said)


def submit(command, cloud, run: Path, *asked: str, refused: tuple[int, ...] = (7,)) -> Path:
    """Submit three images, again when the service is well if nothing was submitted."""
    status, _, _ = command("hardware", "submit", run, "-n", "3", *asked)
    assert status in (0, *refused)
    if not submissions(run):
        assert status != 0
        well_again(cloud)
        for _ in range(4):
            if command("hardware", "submit", run, "-n", "3", *asked)[0] == 0:
                break
            time.sleep(1.2)
    [folder] = submissions(run)
    return folder


def finish(command, cloud, folder: Path, tries: int = 4) -> None:
    """Collect until all is back; the service is well from the second time on, or comes back some seconds later."""
    for number in range(tries):
        time.sleep(1.2 if number > 1 else 0)
        if number == 1:
            well_again(cloud)
        status, _, _ = command("hardware", "collect", folder, "--no-wait" if number == 0 else "--wait")
        assert status in (0, 7)
        if status == 0 and (folder / "images").exists():
            return
    raise AssertionError("not all is back")

"""Processes that train together start, stop and fail as one; none is left behind, and none waits for ever."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qgan_qiskit.config import RunConfig
from qgan_qiskit.device import check_device
from qgan_qiskit.errors import DataError, QganError, StorageError, UsageError
from qgan_qiskit.training import launch as launch_module
from qgan_qiskit.training.distributed import SINGLE_PROCESS
from qgan_qiskit.training.launch import check_launch, launch
from qgan_qiskit.training.signals import STOPPING, Interrupted

CPU = torch.device("cpu")


def exchange(group, device, folder):
    """Ask everything that there is to ask, and write down the answers."""
    torch.manual_seed(group.rank)
    own = torch.rand(3, 2)
    # Another layout than that of the first: averages belong to positions, not to places in memory.
    images = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    weights = [nn.Parameter(own.clone()), nn.Parameter(torch.zeros(5)), nn.Parameter(images)]
    weights[0].grad, weights[2].grad = own.clone(), images.clone()
    layouts = [weights[0].grad.stride(), weights[2].grad.stride()]
    group.average_gradients(weights)
    taken = [own.clone(), torch.full((2,), group.rank)]
    group.broadcast_(taken)
    answers = {
        "place": (group.rank, group.world_size, str(device), str(Path.cwd())),
        "own": (own, images),
        "rows": group.local_shard(torch.arange(6)),
        "whole": group.all_gather(own),
        "sum": group.all_reduce_sum(own),
        "mean": group.all_reduce_mean(own),
        "gradients": [weight.grad for weight in weights],
        "same layouts": layouts == [weights[0].grad.stride(), weights[2].grad.stride()],
        "largest": group.all_reduce_max(3 - group.rank),
        "taken": taken,
    }
    torch.save(answers, folder / f"{group.rank}.pt")


def test_what_processes_tell_each_other(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    launch(CPU, 2, exchange, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert [first["place"], second["place"]] == [(rank, 2, "cpu", str(tmp_path)) for rank in range(2)]
    (a, x), (b, y) = first["own"], second["own"]
    for answers, rows in ((first, [0, 1, 2]), (second, [3, 4, 5])):
        assert answers["rows"].tolist() == rows
        assert torch.equal(answers["whole"], torch.cat([a, b]))
        assert torch.equal(answers["sum"], a + b)
        assert torch.equal(answers["mean"], (a + b) / 2)
        assert torch.equal(answers["gradients"][0], (a + b) / 2)
        assert answers["gradients"][1] is None
        assert torch.equal(answers["gradients"][2], (x + y) / 2)
        assert answers["same layouts"]
        assert answers["largest"] == 3
        assert torch.equal(answers["taken"][0], a)
        assert answers["taken"][1].tolist() == [0, 0]
    assert capfd.readouterr() == ("", "")


def test_a_process_alone_is_the_whole():
    values = torch.rand(4, 2)
    for answer in (
        SINGLE_PROCESS.local_shard(values),
        SINGLE_PROCESS.all_gather(values),
        SINGLE_PROCESS.all_reduce_sum(values),
        SINGLE_PROCESS.all_reduce_mean(values),
    ):
        assert torch.equal(answer, values)
    assert (
        SINGLE_PROCESS.rank,
        SINGLE_PROCESS.world_size,
        SINGLE_PROCESS.is_main,
        SINGLE_PROCESS.all_reduce_max(3),
    ) == (0, 1, True, 3)
    with pytest.raises(DataError), SINGLE_PROCESS.raise_on_all():
        raise DataError("bad")


def fail(group, _device, where):
    """Let the second process fail: in a block that all leave together, or while the first waits for it."""
    if where == "together":
        with group.raise_on_all():
            if not group.is_main:
                raise StorageError("the disk of the second is full")
        raise AssertionError("the first must not come here")
    if group.is_main:
        group.all_reduce_max(0)
        raise AssertionError("nobody answers")
    if where == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise MemoryError


@pytest.mark.parametrize("where", ["together", "memory", "killed"])
def test_an_error_of_one_ends_all(where, capfd):
    expected, text = {
        "memory": (MemoryError, ""),
        "killed": (QganError, "process 2 of 2 was ended by SIGKILL; was memory short?"),
    }.get(where, (StorageError, "the disk of the second is full"))
    with pytest.raises(expected) as raised:
        launch(CPU, 2, fail, where)
    assert str(raised.value).startswith(text)
    assert "\n" not in str(raised.value)
    assert not multiprocessing.active_children()
    assert capfd.readouterr() == ("", "")


class OddError(Exception):
    """What cannot be sent."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def test_any_error_can_be_sent():
    for error in (StorageError("full"), Interrupted("saved", 15), MemoryError(), FileNotFoundError(2, "no", "name")):
        sent = launch_module._make_picklable(error)
        assert (type(sent), str(sent), vars(sent)) == (type(error), str(error), vars(error))
    assert repr(launch_module._make_picklable(OddError(1, 2))) == "RuntimeError('OddError: 1 and 2')"


def wait_for_a_stop(group, _device, folder):
    """Wait as a long training does, asking all at every step."""
    with group.stop_requests() as stop:
        while not (number := group.all_reduce_max(stop.number or 0)):
            (folder / str(os.getpid())).touch()
            time.sleep(0.02)
    raise Interrupted("saved", number)


@pytest.mark.parametrize(
    ("target", "number"),
    [("one of them", signal.SIGTERM), ("the one that started them", signal.SIGINT), ("all, twice", signal.SIGTERM)],
)
def test_a_signal_to_any_stops_all(target, number, tmp_path):
    """Schedulers send it to all; a terminal does; a person sends it to the one that was started."""

    def send():
        while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            time.sleep(0.02)
        targets = {"one of them": pids[:1], "the one that started them": [os.getpid()]}.get(
            target, [*pids, os.getpid()]
        )
        for pid in targets + (pids if target == "all, twice" else []):
            os.kill(pid, number)

    before = [signal.getsignal(one) for one in STOPPING]
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    with pytest.raises(Interrupted, match=r"^saved$") as stopped:
        launch(CPU, 2, wait_for_a_stop, tmp_path)
    sender.join(60)
    assert stopped.value.exit_code == 128 + number
    assert [signal.getsignal(one) for one in STOPPING] == before
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_that_comes_when_all_is_done_is_not_lost(number, monkeypatch):
    def spawn(*_arguments, **_options):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        os.kill(os.getpid(), number)
        return SimpleNamespace(processes=())

    monkeypatch.setattr(launch_module, "spawn", spawn)
    with pytest.raises(Interrupted, match="after the last step") as stopped:
        launch(CPU, 2, wait_for_a_stop)
    assert stopped.value.exit_code == 128 + number


SCRIPT = """
import sys
from pathlib import Path
import torch
from qgan_qiskit.training.launch import check_launch, launch
if {guard}:
    check_launch(2)
    sys.path[:0] = {path}
    from test_launch import wait_for_a_stop
    launch(torch.device("cpu"), 2, wait_for_a_stop, Path("pids"))
"""


def script(tmp_path, guard):
    (tmp_path / "pids").mkdir()
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(path=sys.path, guard=guard))
    process = subprocess.Popen([sys.executable, path], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    return process, tmp_path / "pids"


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pids, seconds=60.0):
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_process_that_started_them(number, tmp_path):
    """Killed, they go with it, as its lock on the run does; on a second signal all end at once."""
    process, folder = script(tmp_path, "__name__ == '__main__'")
    while len(pids := [int(path.name) for path in folder.iterdir()]) < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    if number == signal.SIGTERM:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # They do not get to answer the first.
        process.send_signal(number)
        time.sleep(0.3)
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(60) == -number
    assert gone(pids)


def test_a_script_that_starts_itself_again_is_told_so(tmp_path):
    process, _ = script(tmp_path, "True")
    _, said = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "under if __name__ == '__main__'" in said
    assert said.splitlines()[-1].endswith("of 2 ended with status 1 before it could train; what it printed says why")


def test_a_run_on_one_device_needs_no_fabric():
    code = "import sys, qgan_qiskit.workflows.fit; sys.exit('lightning_fabric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_cannot_start_is_refused(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(launch_module.importlib.util, "find_spec", lambda _name: None)
        with pytest.raises(UsageError, match=r"^--devices 2 needs Lightning Fabric: python -m pip install"):
            check_launch(2)
    with monkeypatch.context() as patch:
        patch.setitem(multiprocessing.current_process()._config, "daemon", True)
        with pytest.raises(UsageError, match="may not start others"):
            check_launch(2)
    check_launch(2)


@pytest.mark.parametrize(
    ("name", "devices", "present", "message"),
    [
        ("cuda", 3, 2, "--devices 3: torch sees 2 CUDA devices"),
        ("cuda:1", 2, 2, "--device cuda:1 is one device"),
        ("cuda", 2, 0, "--device cuda: torch sees 0 CUDA devices"),
        ("cuda:2", 1, 2, "--device cuda:2: torch sees 2 CUDA devices"),
    ],
)
def test_more_devices_than_there_are(name, devices, present, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: present)
    with pytest.raises(UsageError) as refused:
        check_device(name, devices)
    assert message in str(refused.value)
    assert check_device("cpu", 64) == CPU
    if present:
        assert check_device("cuda", present).type == "cuda"


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="batch_size is 8, which 3 devices cannot share equally"):
        RunConfig.model_validate({"training": {"batch_size": 8, "devices": 3}})

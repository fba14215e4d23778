"""Faults F3 and F13: SIGINT and SIGTERM at random moments, and two processes that want one run."""

import os
import random
import re
import signal
import socket
import time

import pytest
from child_runs import lines, start_main, wait_for
from tiny_runs import fingerprint, leftovers

from qgan_qiskit.errors import StorageError
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.training import signals
from qgan_qiskit.training.signals import Interrupted, stop_on_signal
from qgan_qiskit.workflows.fit import fit

STEPS = 30
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(scope="module")
def uncut(tiny, tmp_path_factory):
    (run,) = fit(tiny(training={"steps": STEPS, "snap": 7}), tmp_path_factory.mktemp("uncut"))
    return run


def test_signals_at_random_moments_save_and_exit(uncut, tiny_options, tmp_path):
    """One run, stopped ten times by either signal and resumed each time, is the run that was never stopped."""
    moments = random.Random(3)
    out, text = tmp_path / "runs", tmp_path / "output"
    run = out / uncut.name
    begin = ["fit", *tiny_options, "--steps", STEPS, "--snap", 7, "--outdir", out]
    stops, announced, done = 0, 0, 0
    while done < STEPS:
        process = start_main(["fit", "--resume", run] if run.exists() else begin, text, slow_step=0.05)
        wait_for(lambda done=done: lines(run / "stats.jsonl") > done, process)
        time.sleep(moments.uniform(0, 0.15))
        number = moments.choice(list(CODES))
        if process.is_alive():
            os.kill(process.pid, number)
        process.join(60)
        if process.exitcode == 0:
            break
        said = text.read_text()
        assert process.exitcode == CODES[number], said
        path, _, values, complaints = checkpoint.load_newest(run / "checkpoints")
        assert values["step"] > done
        assert not complaints
        done = values["step"]
        assert said.splitlines()[-1] == f"stopped at step {done}, saved {path}; continue with --resume {run}"
        announced += f"\nstopping: saving step {done}; a second signal exits without saving\n" in said
        assert "Traceback" not in said
        assert "Warning" not in said
        # The log says no more and no less than what the checkpoint holds.
        assert lines(run / "stats.jsonl") == done
        stops += 1
    assert stops >= 5
    # One that comes while a checkpoint is being written is not.
    assert announced
    assert fingerprint(run) == fingerprint(uncut)
    assert not leftovers(run)


def test_a_second_signal_ends_at_once(tiny_options, tmp_path):
    for first, second in (
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGTERM, signal.SIGINT),
    ):
        out = tmp_path / f"{first}-{second}"
        process = start_main(["fit", *tiny_options, "--outdir", out], tmp_path / "output", slow_step=30.0)
        wait_for(lambda out=out: any(out.glob("*/fakes_init.png")), process)
        time.sleep(0.3)
        began = time.monotonic()
        os.kill(process.pid, first)
        time.sleep(0.1)
        assert process.is_alive()
        os.kill(process.pid, second)
        process.join(20)
        assert time.monotonic() - began < 15
        assert process.exitcode == -second


@pytest.mark.parametrize("number", CODES)
def test_a_stop_in_one_class_starts_no_other(number, tiny, tmp_path, monkeypatch):
    """Also when it comes in the very last step of the first class."""
    from qgan_qiskit.training import loop

    original = loop.train_step

    def train_step(state, *arguments):
        losses = original(state, *arguments)
        if state.step == 6:
            os.kill(os.getpid(), number)
        return losses

    monkeypatch.setattr(loop, "train_step", train_step)
    with pytest.raises(Interrupted) as stopped:
        fit(tiny(data={"class_name": "all"}), tmp_path)
    assert stopped.value.exit_code == CODES[number]
    assert len(list(tmp_path.iterdir())) == 1


def test_handlers_are_those_of_before_afterwards():
    before = {number: signal.getsignal(number) for number in CODES}
    for number in CODES:
        with stop_on_signal() as request:
            assert request.number is None
            os.kill(os.getpid(), number)
            assert request.number == number
        assert {n: signal.getsignal(n) for n in CODES} == before
    assert signals.StopRequest().number is None


def test_pairs_of_processes_on_one_run(tiny, tmp_path):
    run = RunFolder.create(tmp_path, tiny(), "pair")
    for _ in range(5):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            with RunFolder.open(run.path):
                os.write(write, b"locked")
                time.sleep(60)
            os._exit(0)
        assert os.read(read, 6) == b"locked"
        with pytest.raises(StorageError) as refused, RunFolder.open(run.path):
            pass
        assert f"in use by process {child} on {socket.gethostname()}" in str(refused.value)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with RunFolder.open(run.path):
            assert (run.path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
        os.close(read)
        os.close(write)


def test_the_command_line_refuses_a_run_in_use(main, tiny_options, tmp_path):
    out = tmp_path / "runs"
    process = start_main(["fit", *tiny_options, "--outdir", out], tmp_path / "output", slow_step=30.0)
    wait_for(lambda: any(out.glob("*/fakes_init.png")), process)
    (run,) = out.iterdir()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    status, printed, err = main("fit", "--resume", run)
    assert (status, printed) == (6, "")
    assert re.fullmatch(rf"error: {run}: in use by process {process.pid} on {socket.gethostname()}; .*\n", err)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    process.kill()
    process.join(20)
    assert main("fit", "--resume", run, "--steps", 2)[0] == 0


def test_folders_made_at_once_have_numbers_of_their_own(tiny, tmp_path):
    names = [RunFolder.create(tmp_path, tiny(), label).path.name for label in ("a", "b/../c", "ß ü", "a")]
    assert names == [
        "00000-hybridq-default-a",
        "00001-hybridq-default-b_.._c",
        "00002-hybridq-default-_",
        "00003-hybridq-default-a",
    ]

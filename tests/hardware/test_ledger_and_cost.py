"""The ledger survives every cut, and the estimate counts what is run."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import StorageError
from qgan_qiskit.hardware.ibm.cost import cost
from qgan_qiskit.hardware.ibm.submission import Ledger, ShardState


def filled(path: Path) -> Ledger:
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


def test_states_are_the_last_that_happened(tmp_path):
    states = filled(tmp_path / "jobs.jsonl").states(4)
    assert states[0] == ShardState(0, "collected", 1, "a", "ibm_x", 3.5)
    assert states[1] == ShardState(1, "sending", 1)
    assert states[2] == ShardState(2, "sending", 2)
    assert states[3] == ShardState(3)
    assert [state.done for state in states] == [True, False, False, False]


def test_file_cut_anywhere_says_what_was_whole_and_takes_further_lines(tmp_path):
    whole = filled(tmp_path / "whole.jsonl").path.read_bytes()
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


def test_disk_that_refuses_is_said(tmp_path, monkeypatch):
    ledger = filled(tmp_path / "jobs.jsonl")
    before = ledger.states(4)

    def refuse(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StorageError, match=r"jobs.jsonl: not written \(No space left"):
        ledger.write(3, "sending")
    assert ledger.states(4)[:3] == before[:3]


def test_a_thousand_images_packed_take_a_hundredth_of_the_executions():
    found = cost(1000, 10, 10, packed=10, bases=1, config=HardwareConfig(resilience_level=0))
    assert (found.jobs, found.circuits, found.pubs) == (10, 1, 10)
    assert found.executions == 1000 * 4096
    assert found.by_hand_executions == 100 * found.executions
    assert found.by_hand_pubs == 10 * 100
    assert found.seconds == pytest.approx(10 * 2 + 0.00035 * 4_096_000)
    assert "100.0 times" in found.lines()[1]


@pytest.mark.parametrize(
    ("settings", "factor", "learning"),
    [
        ({"resilience_level": 0}, 1, 0),
        ({"resilience_level": 1}, 1, 1),
        ({"resilience_level": 2}, 3, 1),
        ({"resilience_level": 2, "zne_factors": "1,2,3,5"}, 4, 1),
        ({"resilience_level": 2, "zne": False}, 1, 1),
        ({"resilience_level": 1, "measure_mitigation": False}, 1, 0),
        ({"resilience_level": 0, "zne": True}, 3, 0),
        ({"resilience_level": 1, "pec": True, "pec_max_overhead": 20}, 20, 1),
    ],
)
def test_mitigation_costs_what_it_repeats(settings, factor, learning):
    found = cost(50, 10, 10, packed=4, bases=2, config=HardwareConfig(shots=100, images_per_job=20, **settings))
    assert (found.jobs, found.circuits, found.pubs) == (3, 3, 9)
    assert found.executions == 50 * 3 * 2 * 100 * factor + 3 * 3 * 100 * learning


def test_device_that_waits_longer_between_shots_costs_more():
    usual, slow = (
        cost(10, 10, 10, 10, 1, HardwareConfig(resilience_level=0), delay).seconds for delay in (250e-6, 1e-3)
    )
    assert slow - 2 == pytest.approx(4 * (usual - 2))


def no_account():
    raise AssertionError("an account was asked")


def test_cost_on_a_snapshot_asks_no_account(run, command, monkeypatch):
    from qgan_qiskit.workflows import hardware as remote

    monkeypatch.setattr(remote.IbmAccount, "open", no_account)
    status, out, err = command("hardware", "cost", run, "-n", 1000, "--backend", "fake:fez", "--shots", 100)
    assert (status, err) == (0, "")
    assert "device fake_fez (156 qubits): 2 circuits of 3 qubits, 2 side by side, no swaps" in out
    # 1,000 images and the readout of ten jobs; by hand for each sub-generator and observable.
    assert "10 jobs, 10 PUBs, 101,000 executions" in out
    assert "60 PUBs, 600,000 executions" in out


@pytest.mark.parametrize(
    ("backend", "more", "piece"),
    [
        ("fake:fezz", [], "no snapshot of a device is called 'fezz'; there are fez"),
        ("aer:fez", [], "--backend ibm:NAME or ibm:least-busy is needed"),
        ("exact", [], "fake:NAME also for `hardware cost`"),
        ("fake:fez", ["--max-qpu-seconds", 3], "--max-qpu-seconds limits what is sent to a device"),
    ],
)
def test_what_cannot_be_estimated_is_refused(backend, more, piece, run, command):
    status, out, err = command("hardware", "cost", run, "--backend", backend, *more)
    assert (status, out) == (2, "")
    assert piece in err


def test_without_an_account_the_remedy_is_named(run, command, monkeypatch, tmp_path):
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("qiskit_ibm_runtime.qiskit_runtime_service.AccountManager.get", refuse)
    status, _, err = command("hardware", "cost", run, "--backend", "ibm:least-busy")
    assert status == 7
    assert "no account is known; set QISKIT_IBM_TOKEN" in err


def refuse(*_, **__):
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError

    raise AccountNotFoundError("Unable to find account.")

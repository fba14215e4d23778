"""The estimate counts what is run, and needs no account for a snapshot."""

from __future__ import annotations

import pytest

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.hardware.ibm.cost import estimate_cost, format_pec_overhead


def test_a_thousand_packed_images_take_a_hundredth_of_the_executions():
    cost = estimate_cost(1000, 10, 10, packed=10, bases=1, config=HardwareConfig(resilience_level=0))
    assert (cost.jobs, cost.circuits, cost.pubs) == (10, 1, 10)
    assert cost.executions == 1000 * 4096
    assert cost.baseline_executions == 100 * cost.executions
    assert cost.baseline_pubs == 10 * 100
    assert cost.seconds == pytest.approx(10 * 2 + 0.00035 * 4_096_000)
    assert "100.0 times" in cost.format_lines()[1]


@pytest.mark.parametrize(
    ("settings", "factor", "calibrations"),
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
def test_mitigation_costs_what_it_repeats(settings, factor, calibrations):
    config = HardwareConfig(shots=100, images_per_job=20, **settings)
    cost = estimate_cost(50, 10, 10, packed=4, bases=2, config=config)
    assert (cost.jobs, cost.circuits, cost.pubs) == (3, 3, 9)
    assert cost.executions == 50 * 3 * 2 * 100 * factor + 3 * 3 * 100 * calibrations


def test_longer_delay_between_shots_costs_more():
    usual, slow = (
        estimate_cost(10, 10, 10, 10, 1, HardwareConfig(resilience_level=0), delay).seconds for delay in (250e-6, 1e-3)
    )
    assert slow - 2 == pytest.approx(4 * (usual - 2))


def test_pec_overhead_multiplies_over_packed_sub_generators():
    line = format_pec_overhead(16.0, 2, 9.0)
    assert "16.0 times" in line and "limited to the 9" in line and "one alone takes about 4.0" in line
    line = format_pec_overhead(1e12, 1, 1e13)
    assert "1e+12" in line and "limited" not in line and "alone" not in line


def refuse_account():
    raise AssertionError("an account was asked")


def test_cost_on_a_snapshot_asks_no_account(run, command, monkeypatch):
    from qgan_qiskit.workflows import hardware

    monkeypatch.setattr(hardware.IbmAccount, "open", refuse_account)
    status, out, err = command("hardware", "cost", run, "-n", 1000, "--backend", "fake:fez", "--shots", 100)
    assert (status, err) == (0, "")
    assert "fake_fez (156 qubits): 2 circuits of 3 qubits, 2 side by side, no swaps" in out
    # 1,000 images and the readout of ten jobs; the baseline for each sub-generator and observable.
    assert "10 jobs, 10 PUBs, 101,000 executions" in out
    assert "60 PUBs, 600,000 executions" in out


@pytest.mark.parametrize(
    ("backend", "more", "keyword"),
    [
        ("fake:fezz", [], "'fezz'"),
        ("aer:fez", [], "ibm:NAME"),
        ("exact", [], "fake:NAME"),
        ("fake:fez", ["--max-qpu-seconds", 3], "--max-qpu-seconds"),
    ],
)
def test_what_cannot_be_estimated_is_refused(backend, more, keyword, run, command):
    status, out, err = command("hardware", "cost", run, "--backend", backend, *more)
    assert (status, out) == (2, "")
    assert keyword in err


def test_without_an_account_the_remedy_is_named(run, command, monkeypatch):
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("qiskit_ibm_runtime.qiskit_runtime_service.AccountManager.get", refuse_access)
    status, _, err = command("hardware", "cost", run, "--backend", "ibm:least-busy")
    assert status == 7
    assert "set QISKIT_IBM_TOKEN" in err


def refuse_access(*_, **__):
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError

    raise AccountNotFoundError("Unable to find account.")

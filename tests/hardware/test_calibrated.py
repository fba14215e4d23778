"""``aer:ibm_NAME``: the noise of a real device as it is calibrated now; nothing is sent to it."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from cloud.small_jobs import CANARY
from remote_runs import no_key_in

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.hardware.backends import calibration_time, snapshot
from qgan_qiskit.hardware.ibm.service import IbmAccount
from qgan_qiskit.hardware.simulated_backend import open_local
from qgan_qiskit.hardware.subcircuits import DevicePart

pytest_plugins = ("cloud.fixtures",)

ANSATZ = hybridq_ansatz(3, 2)


def readings(backend: str, processes: int):
    random = np.random.default_rng(0)
    weights_PK, angles_BPQ = random.uniform(-3, 3, (2, ANSATZ.num_weights)), random.uniform(0, 3, (3, 2, 3))
    device = open_local(HardwareConfig(backend=backend, processes=processes, shots=512))
    return device.readings(ANSATZ, angles_BPQ, weights_PK), device.description()


def test_readings_are_those_of_the_same_calibration_as_a_snapshot(cloud):
    before = len(cloud.jobs())
    (found, description), (expected, _) = readings("aer:ibm_testfez", 1), readings("aer:fez", 1)
    np.testing.assert_array_equal(found.evs_BPO, expected.evs_BPO)
    assert description["name"] == "ibm_testfez"
    assert description["calibration"] == calibration_time(IbmAccount.open().calibrated("ibm_testfez"))
    assert description["calibration"].startswith("2025-02-26")
    # Only looked at.
    assert len(cloud.jobs()) == before
    assert {entry["method"] for entry in cloud.requests() if entry["route"].startswith("backends.")} == {"GET"}


def test_newer_calibration_is_another_noise(cloud, monkeypatch):
    first, _ = readings("aer:ibm_testchain", 1)
    device = cloud.devices["ibm_testchain"]
    worse = json.loads(json.dumps(device.properties))
    worse["last_update_date"] = "2026-11-21T10:00:00+00:00"
    for gate in worse["gates"]:
        for parameter in gate["parameters"]:
            if parameter["name"] == "gate_error" and gate["gate"] == "cz":
                parameter["value"] = 0.1
    monkeypatch.setattr(device, "properties", worse)
    second, description = readings("aer:ibm_testchain", 1)
    assert description["calibration"].startswith("2026-11-21")
    assert np.abs(second.evs_BPO).mean() < np.abs(first.evs_BPO).mean()


@pytest.mark.slow
def test_several_processes_give_the_same(cloud):
    (one, _), (two, _) = readings("aer:ibm_testchain", 1), readings("aer:ibm_testchain", 2)
    np.testing.assert_array_equal(one.evs_BPO, two.evs_BPO)


def test_what_other_processes_get_holds_neither_client_nor_key(cloud):
    part = DevicePart(IbmAccount.open().calibrated("ibm_testchain"), (1, 2, 3))
    sent = pickle.dumps(part)
    assert b"QiskitRuntimeService" not in sent
    assert CANARY.encode() not in sent
    again = pickle.loads(sent)
    assert {name: again.target[name][0, 1].error for name in ("cz",)} == {"cz": part.target["cz"][0, 1].error}


def test_device_in_maintenance_can_still_be_simulated(cloud):
    cloud.set_device("ibm_testchain", "maintenance")
    assert readings("aer:ibm_testchain", 1)[0].evs_BPO.shape == (3, 2, 3)


def test_command_says_the_calibration(run, command, cloud, said):
    output = run / "images"
    asked = ("--backend", "aer:ibm_testchain", "--processes", "1", "--shots", "64", "--output", output)
    assert command("generate", run, "-n", "2", *asked)[0] == 0
    description = json.loads((output / "hardware.json").read_text())["device"]
    assert description["name"] == "ibm_testchain"
    assert f"says the calibration of {description['calibration']}" in "".join(said)
    no_key_in(run, said)


@pytest.mark.parametrize(
    ("backend", "status", "problem"),
    [
        ("fake:ibm_testchain", 2, "real devices are simulated by aer: take --backend aer:ibm_testchain"),
        ("aer:ibm_nowhere", 7, "no such device, or it is retired"),
        ("aer:testchain", 2, "no snapshot of a device is called 'testchain'"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_one_line(backend, status, problem, run, command, cloud):
    found = command("generate", run, "-n", "2", "--backend", backend, "--output", run / "images")
    assert found[0] == status
    assert problem in found[2]
    assert not (run / "images").exists()


def test_noise_model_that_ibms_estimator_would_need_in_its_local_mode_is_refused(run, command):
    for more in (("--pec",), ("--zne", "--zne-amplifier", "pea")):
        status, _, err = command("generate", run, "-n", "2", "--backend", "fake:manila", *more)
        assert status == 2
        assert "pec and pea have no noise model there: take --backend aer:manila" in err


def test_snapshots_say_their_day():
    assert calibration_time(snapshot("manila")).startswith("2024-05-27")

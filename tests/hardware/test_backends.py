"""Simulated backends: sampling errors as expected, device noise present, mitigation effective, reruns bit-exact.

``aer:ibm_NAME`` uses the calibration that a real device has now, and sends nothing to it.
"""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
from cloud.small_jobs import CANARY
from remote_runs import no_key_in

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import RemoteError, UsageError
from qgan_qiskit.hardware.backends import (
    BackendSubset,
    SimulatedBackend,
    get_calibration_time,
    load_fake_backend,
    open_simulated_backend,
)
from qgan_qiskit.hardware.ibm.service import IbmAccount
from qgan_qiskit.hardware.layout import CalibratedCouplingMap, InteractionGraph, choose_layouts
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.simulation.estimator import expectation_values

pytest_plugins = ("cloud.fixtures",)

SPEC = hybridq_ansatz(3, 2)
SUB_GENERATORS, IMAGES = 2, 4


@pytest.fixture(scope="module")
def work():
    """Angles, weights and exact expectation values."""
    random = np.random.default_rng(0)
    weights_PK = random.uniform(-3, 3, (SUB_GENERATORS, SPEC.num_weights))
    angles_BPQ = random.uniform(0, 3, (IMAGES, SUB_GENERATORS, 3))
    exact_BPO = np.stack(
        [
            expectation_values(
                SPEC.circuit.assign_parameters(dict(zip(SPEC.weight_parameters, weights_K, strict=True))),
                SPEC.observables,
                angles_BPQ[:, member],
            )
            for member, weights_K in enumerate(weights_PK)
        ],
        axis=1,
    )
    return angles_BPQ, weights_PK, exact_BPO


def run_on(work, backend, **settings) -> ExpectationResult:
    config = HardwareConfig(backend=backend, **{"processes": 1, **settings})
    return open_simulated_backend(config).run(SPEC, work[0], work[1])


def rms_error(result: ExpectationResult, exact_BPO: np.ndarray) -> float:
    return float(np.sqrt(np.mean((result.evs_BPO - exact_BPO) ** 2)))


# Shots, seeds and noise.


def test_sampling_error_is_one_over_the_root_of_shots(work):
    exact_BPO = work[2]
    expected = np.sqrt(np.mean(1 - exact_BPO**2))
    for shots in (256, 1024, 4096, 16384):
        errors = [rms_error(run_on(work, "shots", shots=shots, shot_seed=seed), exact_BPO) for seed in range(6)]
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(expected / shots**0.5, rel=0.2)


def test_standard_errors_are_those_of_sampling(work):
    result = run_on(work, "shots", shots=1024)
    np.testing.assert_allclose(result.stds_BPO, np.sqrt((1 - work[2] ** 2) / 1024), atol=0.005)


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        pytest.param("shots", {}, marks=pytest.mark.slow),
        ("aer:manila", {}),
        pytest.param("fake:manila", {"shots": 256}, marks=pytest.mark.slow),
    ],
)
def test_same_seed_gives_the_same_result_in_any_number_of_processes(backend, settings, work):
    first = run_on(work, backend, **settings)
    assert np.array_equal(run_on(work, backend, **{**settings, "processes": 2}).evs_BPO, first.evs_BPO)
    assert not np.array_equal(run_on(work, backend, **{**settings, "shot_seed": 1}).evs_BPO, first.evs_BPO)


def test_device_noise_adds_to_sampling_error_and_mitigation_removes_some(work):
    angles, weights, exact = work
    doubled = (np.tile(angles, (2, 1, 1)), weights, np.tile(exact, (2, 1, 1)))
    # Readout of this snapshot of Manila errs by a few percent.
    errors = {
        (backend, level): rms_error(run_on(doubled, backend, shots=8192, resilience_level=level), doubled[2])
        for backend, level in (("shots", 0), ("aer:manila", 0), ("fake:manila", 0), ("fake:manila", 1))
    }
    assert errors["aer:manila", 0] > 3 * errors["shots", 0]
    assert errors["fake:manila", 0] == pytest.approx(errors["aer:manila", 0], rel=0.3)
    assert errors["fake:manila", 1] < 0.7 * errors["fake:manila", 0]


def test_extrapolation_keeps_the_values_at_each_noise_factor(work):
    result = run_on(work, "fake:manila", shots=256, resilience_level=2, zne_factors="1,3", num_randomizations=4)
    assert result.evs_BPO.shape == (IMAGES, SUB_GENERATORS, 3)
    assert result.auxiliary["evs_noise_factors"].shape == (IMAGES, SUB_GENERATORS, 3, 2)
    assert {"stds_noise_factors", "evs_extrapolated"} <= set(result.auxiliary)


def test_sub_generators_that_do_not_fit_side_by_side_run_one_after_the_other(work):
    backend = SimulatedBackend(HardwareConfig(backend="aer:manila", processes=1), load_fake_backend("manila"))
    backend.run(SPEC, *work[:2])
    # Five qubits in a line hold one circuit of three.
    assert set(map(frozenset, backend.layouts.values())) == {frozenset(backend.layouts[0])}
    assert "1 side by side" in backend.describe_plan(SPEC, SUB_GENERATORS)


def test_infinite_expectation_values_are_refused():
    evs = np.zeros((2, 1, 3))
    evs[1, 0, 2] = np.nan
    with pytest.raises(RemoteError, match=r"ibm:x: .*not finite"):
        ExpectationResult(evs, evs).check_finite("ibm:x")


# Snapshots and parts of devices.


def test_unknown_snapshot_is_refused_with_similar_names():
    with pytest.raises(UsageError, match=r"'manilla'.*manila"):
        open_simulated_backend(HardwareConfig(backend="fake:manilla"))


def test_snapshots_know_their_calibration_time():
    assert get_calibration_time(load_fake_backend("manila")).startswith("2024-05-27")


def test_subset_of_a_device_has_its_calibration():
    device = load_fake_backend("fez")
    interactions = InteractionGraph.from_circuit(hybridq_ansatz(4, 2).circuit)
    [layout] = choose_layouts(CalibratedCouplingMap.from_target(device.target), interactions, 1).layouts
    subset = BackendSubset(device, layout)
    assert subset.num_qubits == 4
    for index, qubit in enumerate(layout):
        assert subset.target["measure"][index,].error == device.target["measure"][qubit,].error
        assert subset.qubit_properties(index).t1 == device.qubit_properties(qubit).t1
    for a, b in ((0, 1), (1, 2), (2, 3)):
        pair = (a, b) if (a, b) in subset.target["cz"] else (b, a)
        assert subset.target["cz"][pair].error == device.target["cz"][tuple(layout[q] for q in pair)].error
    with pytest.raises(NotImplementedError, match="AerSimulator"):
        subset.run(None)


# Today's calibration of real devices.


def run_calibrated(backend: str, processes: int = 1):
    random = np.random.default_rng(0)
    weights_PK, angles_BPQ = random.uniform(-3, 3, (2, SPEC.num_weights)), random.uniform(0, 3, (3, 2, 3))
    device = open_simulated_backend(HardwareConfig(backend=backend, processes=processes, shots=512, pack=1))
    return device.run(SPEC, angles_BPQ, weights_PK), device.metadata()


def test_result_is_that_of_a_snapshot_with_the_same_calibration(cloud):
    before = len(cloud.jobs())
    (result, metadata), (expected, _) = run_calibrated("aer:ibm_testfez"), run_calibrated("aer:fez")
    np.testing.assert_array_equal(result.evs_BPO, expected.evs_BPO)
    assert metadata["name"] == "ibm_testfez"
    assert metadata["calibration"] == get_calibration_time(IbmAccount.open().get_calibrated_backend("ibm_testfez"))
    assert metadata["calibration"].startswith("2025-02-26")
    # Read only.
    assert len(cloud.jobs()) == before
    assert {entry["method"] for entry in cloud.requests() if entry["route"].startswith("backends.")} == {"GET"}


def test_newer_calibration_is_another_noise(cloud, monkeypatch):
    first, _ = run_calibrated("aer:ibm_testchain")
    device = cloud.devices["ibm_testchain"]
    worse = json.loads(json.dumps(device.properties))
    worse["last_update_date"] = "2026-11-21T10:00:00+00:00"
    for gate in worse["gates"]:
        for parameter in gate["parameters"]:
            if parameter["name"] == "gate_error" and gate["gate"] == "cz":
                parameter["value"] = 0.1
    monkeypatch.setattr(device, "properties", worse)
    second, metadata = run_calibrated("aer:ibm_testchain")
    assert metadata["calibration"].startswith("2026-11-21")
    assert np.abs(second.evs_BPO).mean() < np.abs(first.evs_BPO).mean()


@pytest.mark.slow
def test_several_processes_give_the_same_result_from_a_service(cloud):
    (one, _), (two, _) = run_calibrated("aer:ibm_testchain", 1), run_calibrated("aer:ibm_testchain", 2)
    np.testing.assert_array_equal(one.evs_BPO, two.evs_BPO)


def test_worker_processes_receive_neither_client_nor_key(cloud):
    subset = BackendSubset(IbmAccount.open().get_calibrated_backend("ibm_testchain"), (1, 2, 3))
    sent = pickle.dumps(subset)
    assert b"QiskitRuntimeService" not in sent
    assert CANARY.encode() not in sent
    assert pickle.loads(sent).target["cz"][0, 1].error == subset.target["cz"][0, 1].error


def test_device_in_maintenance_can_still_be_simulated(cloud):
    cloud.set_device("ibm_testchain", "maintenance")
    assert run_calibrated("aer:ibm_testchain")[0].evs_BPO.shape == (3, 2, 3)


# The command line.


def test_command_reports_the_calibration(run, command, cloud, said):
    output = run / "images"
    options = ("--backend", "aer:ibm_testchain", "--processes", "1", "--shots", "64", "--output", output)
    assert command("generate", run, "-n", "2", *options)[0] == 0
    device = json.loads((output / "hardware.json").read_text())["device"]
    assert device["name"] == "ibm_testchain"
    assert f"calibration of {device['calibration']}" in "".join(said)
    no_key_in(run, said)


def test_command_writes_images_and_expectation_values(run, main, tmp_path):
    for output in ("images", "images.zip", "images.npz"):
        status, _, text = main(
            "generate", run, "-n", "3", "--backend", "aer:manila", "--processes", "1", "--output", tmp_path / output
        )
        assert status == 0
        assert "images per minute" in text
        assert "fake_manila (5 qubits), no swaps" in text
    with np.load(tmp_path / "images.npz") as file:
        arrays = dict(file)
    assert arrays["images"].shape[0] == 3
    assert arrays["evs"].shape[0] == arrays["stds"].shape[0] == 3
    description = json.loads((tmp_path / "images" / "hardware.json").read_text())
    assert description["settings"]["backend"] == "aer:manila"
    assert description["device"]["name"] == "fake_manila"
    with np.load(tmp_path / "images" / "readings.npz") as file:
        assert np.array_equal(file["evs"], arrays["evs"])
    assert sorted(path.name for path in (tmp_path / "images").glob("*.png")) == [f"seed{n:08d}.png" for n in range(3)]
    names = zipfile.ZipFile(tmp_path / "images.zip").namelist()
    assert {"readings.npz", "hardware.json", "seed00000002.png"} <= set(names)


def test_many_shots_without_noise_give_nearly_the_exact_images(run, main, tmp_path):
    for backend, options in (("exact", []), ("shots", ["--processes", "1", "--shots", "200000"])):
        output = tmp_path / f"{backend}.npz"
        assert main("generate", run, "-n", "4", "--backend", backend, "--output", output, *options)[0] == 0
    exact, shots = (np.load(tmp_path / f"{name}.npz")["images"].astype(int) for name in ("exact", "shots"))
    assert np.abs(exact - shots).max() <= 3


@pytest.mark.parametrize(
    ("options", "keyword"),
    {
        "name": (["--backend", "fake:nowhere"], "'nowhere'"),
        "kind": (["--backend", "gpu"], "--backend"),
        "one noise factor": (["--backend", "fake:fez", "--zne-factors", "1"], "--zne-factors"),
        "extrapolator": (["--backend", "fake:fez", "--zne-extrapolators", "cubic"], "extrapolator 'cubic'"),
        "pec and zne": (["--backend", "fake:fez", "--pec", "--zne"], "pec and zne exclude each other"),
        "pec without twirling": (["--backend", "aer:fez", "--pec", "--no-gate-twirling"], "gate_twirling"),
        "TREX without twirling": (["--backend", "aer:fez", "--no-measure-twirling"], "measure_twirling"),
        "interpolation": (["--backend", "shots", "--interpolation", "ways.png"], "--interpolation"),
        "pec without noise model": (["--backend", "fake:manila", "--pec"], "take --backend aer:manila"),
        "pea without noise model": (
            ["--backend", "fake:manila", "--zne", "--zne-amplifier", "pea"],
            "take --backend aer:manila",
        ),
    }.values(),
)
def test_invalid_options_are_refused_in_one_line(options, keyword, run, main, tmp_path):
    status, _, err = main("generate", run, "--output", tmp_path / "images", *options)
    assert status == 2
    assert keyword in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("backend", "status", "keyword"),
    [
        ("fake:ibm_testchain", 2, "take --backend aer:ibm_testchain"),
        ("aer:ibm_nowhere", 7, "no such device, or it is retired"),
        ("aer:testchain", 2, "'testchain'"),
    ],
)
def test_devices_that_cannot_be_simulated_are_refused(backend, status, keyword, run, command, cloud):
    found = command("generate", run, "-n", "2", "--backend", backend, "--output", run / "images")
    assert found[0] == status
    assert keyword in found[2]
    assert not (run / "images").exists()

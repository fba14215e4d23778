"""Simulated devices: shots scatter as they should, noise is there, mitigation acts, and reruns are exact."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from qgan_qiskit.circuits import hybridq_ansatz
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import RemoteError, UsageError
from qgan_qiskit.hardware.backends import snapshot
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.hardware.simulated_backend import LocalDevice, open_local
from qgan_qiskit.simulation.estimator import expectation_values

ANSATZ = hybridq_ansatz(3, 2)
COUNT, IMAGES = 2, 4


@pytest.fixture(scope="module")
def work():
    random = np.random.default_rng(0)
    weights_PK = random.uniform(-3, 3, (COUNT, ANSATZ.num_weights))
    angles_BPQ = random.uniform(0, 3, (IMAGES, COUNT, 3))
    exact_BPO = np.stack(
        [
            expectation_values(
                ANSATZ.circuit.assign_parameters(dict(zip(ANSATZ.weight_parameters, weights_K, strict=True))),
                ANSATZ.observables,
                angles_BPQ[:, member],
            )
            for member, weights_K in enumerate(weights_PK)
        ],
        axis=1,
    )
    return angles_BPQ, weights_PK, exact_BPO


def readings(work, backend, **settings) -> ExpectationResult:
    config = HardwareConfig(backend=backend, **{"processes": 1, **settings})
    return open_local(config).readings(ANSATZ, work[0], work[1])


def spread(found: ExpectationResult, exact_BPO: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found.evs_BPO - exact_BPO) ** 2)))


def test_shots_scatter_as_one_over_their_root(work):
    exact_BPO = work[2]
    expected = np.sqrt(np.mean(1 - exact_BPO**2))
    for shots in (256, 1024, 4096, 16384):
        errors = [spread(readings(work, "shots", shots=shots, shot_seed=seed), exact_BPO) for seed in range(6)]
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(expected / shots**0.5, rel=0.2)


def test_standard_errors_are_those_of_the_scatter(work):
    found = readings(work, "shots", shots=1024)
    np.testing.assert_allclose(found.stds_BPO, np.sqrt((1 - work[2] ** 2) / 1024), atol=0.005)


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        pytest.param("shots", {}, marks=pytest.mark.slow),
        ("aer:manila", {}),
        pytest.param("fake:manila", {"shots": 256}, marks=pytest.mark.slow),
    ],
)
def test_same_seed_same_readings_in_any_number_of_processes(backend, settings, work):
    first = readings(work, backend, **settings)
    assert np.array_equal(readings(work, backend, **{**settings, "processes": 2}).evs_BPO, first.evs_BPO)
    assert not np.array_equal(readings(work, backend, **{**settings, "shot_seed": 1}).evs_BPO, first.evs_BPO)


def test_noise_of_a_device_adds_to_that_of_shots_and_mitigation_takes_some_away(work):
    angles, weights, exact = work
    many = (np.tile(angles, (2, 1, 1)), weights, np.tile(exact, (2, 1, 1)))
    # Manila, not the best of its day: readouts err by a few percent.
    errors = {
        (backend, level): spread(readings(many, backend, shots=8192, resilience_level=level), many[2])
        for backend, level in (("shots", 0), ("aer:manila", 0), ("fake:manila", 0), ("fake:manila", 1))
    }
    assert errors["aer:manila", 0] > 3 * errors["shots", 0]
    assert errors["fake:manila", 0] == pytest.approx(errors["aer:manila", 0], rel=0.3)
    assert errors["fake:manila", 1] < 0.7 * errors["fake:manila", 0]


def test_extrapolation_keeps_its_raw_values(work):
    found = readings(work, "fake:manila", shots=256, resilience_level=2, zne_factors="1,3", num_randomizations=4)
    assert found.evs_BPO.shape == (IMAGES, COUNT, 3)
    assert found.more["evs_noise_factors"].shape == (IMAGES, COUNT, 3, 2)
    assert {"stds_noise_factors", "evs_extrapolated"} <= set(found.more)


def test_sub_generators_that_do_not_fit_side_by_side_run_one_after_the_other(work):
    config = HardwareConfig(backend="aer:manila", processes=1)
    device = LocalDevice(config, snapshot("manila"))
    device.readings(ANSATZ, *work[:2])
    # Five qubits in a line hold one circuit of three.
    assert set(map(frozenset, device.places.values())) == {frozenset(device.places[0])}
    assert "1 side by side" in device.plan(ANSATZ, COUNT)


def test_unknown_snapshot_is_refused_with_the_names_that_come_near():
    with pytest.raises(UsageError, match="called 'manilla'; there are manila"):
        open_local(HardwareConfig(backend="fake:manilla"))


def test_values_that_are_not_finite_are_refused():
    evs = np.zeros((2, 1, 3))
    evs[1, 0, 2] = np.nan
    with pytest.raises(RemoteError, match="ibm:x: expectations that are not finite"):
        ExpectationResult(evs, evs).check("ibm:x")


def test_command_writes_images_and_what_the_device_said(run, main, tmp_path):
    for output in ("images", "images.zip", "images.npz"):
        status, _, text = main(
            "generate", run, "-n", "3", "--backend", "aer:manila", "--processes", "1", "--output", tmp_path / output
        )
        assert status == 0
        assert "images per minute" in text
        assert "on fake_manila (5 qubits), no swaps" in text
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
    ("options", "problem"),
    {
        "a name": (["--backend", "fake:nowhere"], "no snapshot of a device is called 'nowhere'"),
        "a kind": (["--backend", "gpu"], "--backend"),
        "one noise factor": (["--backend", "fake:fez", "--zne-factors", "1"], "--zne-factors"),
        "an extrapolator": (["--backend", "fake:fez", "--zne-extrapolators", "cubic"], "no extrapolator 'cubic'"),
        "both": (["--backend", "fake:fez", "--pec", "--zne"], "pec and zne exclude each other"),
        "pec without twirling": (["--backend", "aer:fez", "--pec", "--no-gate-twirling"], "pec and pea twirl gates"),
        "TREX without twirling": (["--backend", "aer:fez", "--no-measure-twirling"], "twirl readouts"),
        "ways": (["--backend", "shots", "--interpolation", "ways.png"], "--interpolation is drawn from the exact"),
    }.values(),
)
def test_what_cannot_be_done_is_refused_in_one_line(options, problem, run, main, tmp_path):
    status, _, err = main("generate", run, "--output", tmp_path / "images", *options)
    assert status == 2
    assert problem in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "images").exists()

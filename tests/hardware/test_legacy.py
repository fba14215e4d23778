"""IBM's legacy Estimator, which mitigates at IBM: the same jobs and readings, and every setting arrives there."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cloud.faults import Fault
from remote_runs import ASKED, DEVICE, finish, no_key_in, runs_of, submissions, submit

from qgan_qiskit.hardware.ibm.submission import Submission

pytest_plugins = ("cloud.fixtures",)

LEGACY = (*DEVICE, "--estimator", "legacy")


def sent(cloud) -> dict:
    """What the last job was asked for."""
    return json.loads(list(cloud.store.jobs.values())[-1].params)


def test_submitted_and_collected_it_gives_images_and_readings(run, command, cloud, said):
    folder = submit(command, cloud, run, *ASKED, *LEGACY)
    assert command("hardware", "collect", folder)[0] == 0
    assert runs_of(cloud, folder) == [1, 1]
    assert [one["program"] for one in cloud.executions()[-2:]] == ["estimator", "estimator"]
    with np.load(folder / "images" / "readings.npz") as file:
        assert file["evs"].shape == file["stds"].shape == (3, 2, 3)
    description = json.loads((folder / "images" / "hardware.json").read_text())
    assert description["settings"]["estimator"] == "legacy"
    no_key_in(run, said)


def test_its_expectations_are_those_of_the_new_one(run, command, cloud):
    found = {}
    for name in ("executor", "legacy"):
        output = run / f"{name}.npz"
        asked = ("--estimator", name, "--shots", "4096", "--output", output)
        assert command("generate", run, "-n", "3", *DEVICE, *asked)[0] == 0
        with np.load(output) as file:
            found[name] = file["evs"]
    assert np.abs(found["executor"] - found["legacy"]).max() < 5 * np.sqrt(2 / 4096)


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(route="jobs.create", effect="drop", when="after")],
        pytest.param([Fault(route="jobs.results", effect="damage", damage="fewer")], marks=pytest.mark.slow),
        pytest.param([Fault(route="jobs.results", effect="damage", damage="nan")], marks=pytest.mark.slow),
    ],
)
def test_what_goes_wrong_is_made_good(faults, run, command, cloud):
    cloud.set_faults(faults)
    folder = submit(command, cloud, run, *ASKED, *LEGACY)
    finish(command, cloud, folder)
    assert runs_of(cloud, folder) == [1, 1]


def test_options_arrive_as_asked(run, command, cloud):
    asked = {
        "--shots": 100,
        "--resilience-level": 2,
        "--num-randomizations": 7,
        "--zne-factors": "1,2,4",
        "--zne-extrapolators": "linear,exponential",
        "--zne-amplifier": "pea",
        "--dynamical-decoupling": "XpXm",
        "--max-execution-time": 600,
        "--noise-learning-shots": 16,
        "--noise-learning-randomizations": 8,
    }
    more = ("--gate-twirling", "--measure-twirling", "--measure-mitigation")
    cloud.set_faults([Fault(route="jobs.create", effect="fate", outcome="Queued")])
    folder = submit(command, cloud, run, *LEGACY, *(str(part) for pair in asked.items() for part in pair), *more)
    found = sent(cloud)
    assert found["resilience_level"] == 2
    options = found["options"]
    assert options["default_shots"] == 100
    assert options["twirling"] == {"enable_gates": True, "enable_measure": True, "num_randomizations": 7}
    assert options["dynamical_decoupling"] == {"enable": True, "sequence_type": "XpXm"}
    resilience = options["resilience"]
    assert resilience["measure_mitigation"] is True
    assert resilience["pec_mitigation"] is False
    assert resilience["zne"] == {
        "amplifier": "pea",
        "noise_factors": [1.0, 2.0, 4.0],
        "extrapolator": ["linear", "exponential"],
    }
    learning = {"max_layers_to_learn": None, "shots_per_randomization": 16, "num_randomizations": 8}
    assert resilience["layer_noise_learning"] == learning
    job = cloud.jobs()[-1]
    assert job["cost"] == 600
    described = Submission.open(folder).described
    assert job["tags"] == [described.tag(0), f"qgan-{described.identity}"]
    assert not job["private"]
    assert "noise learning" not in command("hardware", "status", folder)[1]


def test_what_is_not_asked_for_is_left_to_the_level(run, command, cloud):
    submit(command, cloud, run, *LEGACY, "--shots", "16", "--pec", "--pec-max-overhead", "3")
    resilience = sent(cloud)["options"]["resilience"]
    assert resilience["pec_mitigation"] is True
    assert resilience["pec"] == {"max_overhead": 3.0}
    assert not {"measure_mitigation", "zne_mitigation"} & set(resilience)
    assert "twirling" not in sent(cloud)["options"]


def test_noise_is_learned_within_the_jobs_and_counted_in_each(run, command, cloud):
    asked = (*ASKED, *LEGACY, "--pec", "--pec-max-overhead", "2")
    out = command("hardware", "cost", run, "-n", "3", *asked)[1]
    assert "3 layers x 6 depths x 9 bases x 32 randomizations x 128 shots x 2 jobs" in out
    assert "1,327,104 executions, about 464 s, learn the noise" in out
    assert out.startswith("device") and "\n2 jobs, 4 PUBs" in out
    folder = submit(command, cloud, run, *asked)
    assert not (folder / "noise.jsonl").exists()
    finish(command, cloud, folder)
    assert runs_of(cloud, folder) == [1, 1]


def test_elsewhere_and_with_too_few_noise_factors_it_is_refused(run, command, cloud):
    status, _, err = command("generate", run, "--backend", "fake:manila", "--estimator", "legacy")
    assert status == 2
    assert "estimator legacy runs at IBM alone" in err
    asked = (*LEGACY, "--zne", "--zne-extrapolators", "double_exponential")
    status, _, err = command("hardware", "submit", run, "-n", "3", *asked)
    assert status == 2
    assert "double_exponential requires at least 4 noise_factors" in err
    assert submissions(run) == []

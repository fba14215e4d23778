"""Images through a faulty service: nothing is lost, nothing runs twice, and the key appears nowhere."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from cloud.account import OPEN
from cloud.catalog import CATALOG
from cloud.faults import Fault
from remote_runs import ASKED, DEVICE, Killed, finish, kill_at, no_key_in, repair, runs_of, submissions, submit

from qgan_qiskit.hardware.ibm.service import IbmAccount
from qgan_qiskit.hardware.ibm.submission import Ledger, Submission

pytest_plugins = ("cloud.fixtures",)

# Slow: the service is down for long, or a quick test covers much the same.
LONG = ("service_down_while_waiting", "service_down_long")
ALIKE = (
    *(f"post_{status}_x{times}" for status in (500, 502, 504) for times in (1, 3, 6) if (status, times) != (500, 1)),
    "results_503_x3",
    "results_cut",
    "results_truncated",
    "session_closed_mid_way",
)


@pytest.mark.parametrize("mode", [pytest.param("batch", marks=pytest.mark.slow), "session"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG + ALIKE else []) for name in CATALOG]
)
def test_every_fault_ends_with_all_images_and_each_shard_run_once(name, mode, run, command, cloud, said):
    cloud.set_faults(CATALOG[name])
    # 2: no time left on the account, which is known before anything is sent.
    refused = (2, 7) if name == "usage_limit" else (7,)
    folder = submit(command, cloud, run, *ASKED, *DEVICE, "--execution-mode", mode, refused=refused)
    if name == "job_never_starts":
        status, _, err = command("hardware", "collect", folder, "--no-wait")
        assert status == 0
        assert "some results are missing" in err
        repair(cloud)
        assert command("hardware", "cancel", folder)[0] == 0
    if name == "session_refused" and mode == "session":
        # It was asked for by name, so nothing else is taken in its place.
        assert "plan allows no sessions" in "".join(said)
    finish(command, cloud, folder)
    assert runs_of(cloud, folder) == [1, 1]
    assert len(list((folder / "images").glob("seed*.png"))) == 3
    no_key_in(run, said)


def test_images_are_those_of_the_expectations_that_came_back(run, command, cloud):
    assert command("generate", run, "-n", "3", *ASKED, *DEVICE, "--output", run / "images.npz")[0] == 0
    [folder] = submissions(run)
    with np.load(run / "images.npz") as file:
        images, evs, hardware = file["images"], file["evs"], json.loads(str(file["hardware"]))
    command("generate", run, "-n", "3", "--output", run / "exact.npz")
    with np.load(run / "exact.npz") as file:
        exact = file["images"]
    assert images.shape == exact.shape
    assert not np.array_equal(images, exact)
    # 64 shots scatter by at most an eighth.
    assert np.abs(images.astype(int) - exact).mean() < 40
    assert evs.shape[:2] == (3, 2)
    assert hardware["device"]["name"] == "ibm_testchain"
    assert hardware["device"]["execution_mode"] == "session"
    assert len(hardware["device"]["jobs"]) == 2
    assert runs_of(cloud, folder) == [1, 1]


POINTS = [
    (where, number, when)
    for where, last in (("write", 6), ("store_result", 2))
    for number in range(last)
    for when in ("before", "after")
]


@pytest.mark.parametrize(
    "fault", ["none", *(pytest.param(name, marks=pytest.mark.slow) for name in ("post_504_after_accept", "job_error"))]
)
@pytest.mark.parametrize(("where", "number", "when"), POINTS)
def test_killed_at_any_write_collect_finishes(where, number, when, fault, run, command, cloud, monkeypatch):
    owner = {"write": Ledger, "store_result": Submission}[where]
    original = kill_at(monkeypatch, owner, where, number, when)
    cloud.set_faults([] if fault == "none" else CATALOG[fault])
    try:
        command("hardware", "submit", run, "-n", "3", *ASKED, *DEVICE)
        command("hardware", "collect", submissions(run)[0])
    except Killed:
        pass
    monkeypatch.setattr(owner, where, original)
    [folder] = submissions(run)
    finish(command, cloud, folder)
    assert runs_of(cloud, folder) == [1, 1]


def test_submission_that_would_cost_too_much_is_not_made(run, command, cloud):
    status, _, err = command("hardware", "submit", run, "-n", "3", *ASKED, *DEVICE, "--max-qpu-seconds", "1")
    assert status == 2
    assert "--max-qpu-seconds 1: about 4 s" in err
    assert submissions(run) == []


def test_cost_reports_jobs_executions_seconds_and_baseline(run, command, cloud):
    status, out, _ = command("hardware", "cost", run, "-n", "1000", "--backend", "ibm:ibm_testfez")
    assert status == 0
    assert "2 side by side" in out
    # 1,000 images of 4,096 shots, and the readout learned once for each of ten jobs.
    assert "10 jobs, 10 PUBs, 4,136,960 executions; about 1,468 s" in out
    assert "60 PUBs, 24,576,000 executions" in out
    assert "2 s per job + 0.35 ms" in out
    assert cloud.requests("jobs.create") == [] or submissions(run) == []


def test_open_plan_gets_a_batch_with_the_reason(run, command, cloud, monkeypatch):
    for name, value in cloud.environment(OPEN).items():
        monkeypatch.setenv(name, value)
    status, out, _ = command("hardware", "cost", run, "-n", "4", *ASKED, *DEVICE)
    assert status == 0
    assert "execution mode: batch (the open plan allows no sessions)" in out
    assert "s remain" in out
    out = command("hardware", "cost", run, "-n", "2", *ASKED, *DEVICE)[1]
    assert "execution mode: job (the open plan allows no sessions, and a single job needs no batch)" in out
    status, _, err = command("hardware", "submit", run, "-n", "4", *ASKED, *DEVICE, "--execution-mode", "session")
    assert status == 2
    assert "the open plan allows no sessions; take batch" in err
    assert submissions(run) == []


@pytest.mark.parametrize(
    ("plan", "jobs", "mode", "why"),
    [
        ("premium", 1, "session", "the plan 'premium' allows sessions"),
        ("premium", 5, "session", "the plan 'premium' allows sessions"),
        ("open", 2, "batch", "the open plan allows no sessions"),
        ("open", 1, "job", "the open plan allows no sessions, and a single job needs no batch"),
        ("", 2, "batch", "the service does not tell the plan"),
        ("", 1, "job", "the service does not tell the plan, and a single job needs no batch"),
    ],
)
def test_mode_is_chosen_by_plan_and_number_of_jobs(plan, jobs, mode, why):
    account = IbmAccount(None, plan)
    assert account.choose_execution_mode("auto", jobs) == (mode, why)
    assert account.choose_execution_mode("batch", jobs) == ("batch", "as requested")


def test_single_job_on_the_open_plan_runs_alone_and_the_resume_command_comes_first(run, command, cloud, monkeypatch):
    for name, value in cloud.environment(OPEN).items():
        monkeypatch.setenv(name, value)
    cloud.set_faults(CATALOG["post_403"])
    status, _, err = command("generate", run, "-n", "2", *ASKED, *DEVICE, "--output", run / "images")
    assert status == 7
    [folder] = submissions(run)
    hint, refusal = err.index(f"python -m qgan_qiskit.cli hardware collect {folder}"), err.index("error: ")
    assert hint < refusal
    sessions = len(cloud.store.sessions)
    assert command("hardware", "collect", folder)[0] == 0
    assert len(cloud.store.sessions) == sessions
    assert cloud.executions()[-1]["session_id"] is None
    assert runs_of(cloud, folder) == [1]


def test_collect_again_and_status_need_no_service_once_complete(run, command, cloud, monkeypatch):
    command("hardware", "submit", run, "-n", "3", *ASKED, *DEVICE)
    [folder] = submissions(run)
    command("hardware", "collect", folder)
    for name in cloud.environment():
        monkeypatch.delenv(name)
    status, out, _ = command("hardware", "status", folder)
    assert status == 0
    assert "ibm_testchain: 2 collected" in out
    assert command("hardware", "collect", folder, "--output", run / "again.zip")[0] == 0
    status, _, err = command("hardware", "collect", folder)
    assert status == 2
    assert "exists already" in err


def test_changed_weights_are_not_mixed_with_submitted_angles(run, command, cloud):
    command("hardware", "submit", run, "-n", "3", *ASKED, *DEVICE)
    [folder] = submissions(run)
    assert command("fit", "--resume", run, "--steps", "8")[0] == 0
    status, _, err = command("hardware", "collect", folder)
    assert status == 4
    assert "weights have changed" in err
    # Collected results are kept.
    assert all(state.done for state in Submission.open(folder).ledger.states(2))


def test_two_commands_do_not_send_the_same_shard(run, command, cloud):
    cloud.set_faults([Fault(route="jobs.create", effect="fate", outcome="Queued", calls=None)])
    command("hardware", "submit", run, "-n", "3", *ASKED, *DEVICE)
    submission = Submission.open(submissions(run)[0])
    with submission.exclusive_lock():
        status, _, err = command("hardware", "collect", submission.path, "--no-wait")
    assert status == 6
    assert "another command" in err


@pytest.mark.parametrize("damage", ["submission.json", "inputs.npz", "results/shard-0001.npz", "no folder"])
def test_damaged_submission_is_named(damage, run, command, cloud):
    command("hardware", "submit", run, "-n", "3", *ASKED, *DEVICE)
    [folder] = submissions(run)
    if damage.startswith("results"):
        command("hardware", "collect", folder)
        shutil.rmtree(folder / "images")
    if damage == "no folder":
        folder = run / "hardware" / "00007-none"
    else:
        (folder / damage).write_bytes(b"{")
    status, _, err = command("hardware", "collect", folder)
    if damage == "inputs.npz":
        # Only needed to send, and all has been sent.
        assert status == 0
    else:
        assert status == 4
        assert (folder.name if damage == "no folder" else damage) in err


@pytest.mark.parametrize(
    ("options", "problem"),
    {
        "simulated": (["--backend", "fake:fez"], "ibm:NAME"),
        "none": ([], "ibm:NAME"),
        "unknown device": (["--backend", "ibm:ibm_brisbane"], "no such device, or it is retired"),
        "noise factors": (
            ["--backend", "ibm:ibm_testchain", "--zne", "--zne-extrapolators", "linear,polynomial_degree_3"],
            "--zne-factors 1,3,5: polynomial_degree_3",
        ),
    }.values(),
)
def test_what_cannot_be_sent_is_refused_before(options, problem, run, command, cloud):
    status, _, err = command("hardware", "submit", run, "-n", "3", *options)
    assert status in (2, 7)
    assert problem in err
    assert submissions(run) == []

"""Images from an IBM device: submit, look, collect, cancel. What is on the disk at any moment is enough to go on from.

Shape letters: N images · P sub-generators · O observables.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qiskit.providers import BackendV2

from qgan_qiskit.circuits import CircuitSpec
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.config.hardware import ATTEMPTS as ATTEMPTS
from qgan_qiskit.errors import CheckpointError, StorageError, UsageError
from qgan_qiskit.hardware.backends import snapshot
from qgan_qiskit.hardware.generator_circuits import CircuitWork, work_of
from qgan_qiskit.hardware.ibm.cost import Cost, cost, measurement_bases
from qgan_qiskit.hardware.ibm.jobs import Jobs
from qgan_qiskit.hardware.ibm.learned_noise import Layer, find_layers
from qgan_qiskit.hardware.ibm.legacy import legacy_options
from qgan_qiskit.hardware.ibm.options import estimator_options, learner_options, pec_sampling_overhead
from qgan_qiskit.hardware.ibm.service import IbmAccount, IBMBackend
from qgan_qiskit.hardware.ibm.submission import Submission, SubmissionManifest
from qgan_qiskit.hardware.packing import PackedCircuit, pack, packed
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.models import Generator
from qgan_qiskit.runs.load import find_run, load_generator
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_latents
from qgan_qiskit.workflows.inference import Inferred, inferred

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Planned:
    """What a submission would be; nothing has been sent or written.

    Attributes:
        account: whose device.
        backend: the device.
        work: angles and weights.
        packs: the circuits.
        layers: of gates whose noise a job of its own learns before the images.
        mode: of execution.
        cost: estimated.
    """

    account: IbmAccount
    backend: IBMBackend
    work: CircuitWork
    packs: list[PackedCircuit]
    layers: list[Layer]
    mode: str
    cost: Cost
    lines: list[str]


def plan(generator: Generator, seeds: Sequence[int], config: HardwareConfig) -> Planned:
    """Find the device, place the circuits and estimate what they cost.

    Args:
        generator: whose images.
        seeds: of the images.
        config: with a backend ``ibm:NAME``.

    Raises:
        RemoteError: no access, or the device is not in service.
        UsageError: options that IBM's Estimator refuses, or circuits that do not fit.
    """
    # Before the network is touched.
    _check_options(config)
    work = work_of(generator, sample_latents(generator, seeds))
    account = IbmAccount.open()
    backend = account.device(config.backend.partition(":")[2], work.ansatz.num_qubits)
    packs, layers, estimate = _estimated(work, backend, config)
    mode, why = account.execution_mode(config.execution_mode, estimate.jobs)
    lines = _estimate_lines(work, backend, config, packs, estimate, f"execution mode: {mode} ({why})")
    return Planned(account, backend, work, packs, [] if config.estimator == "legacy" else layers, mode, estimate, lines)


def estimate_on_snapshot(generator: Generator, seeds: Sequence[int], config: HardwareConfig) -> list[str]:
    """Return, in lines, what images would cost on a device of which IBM's client brings a snapshot along; nobody is asked.

    Args:
        generator: whose images.
        seeds: of the images.
        config: with a backend ``fake:NAME``.

    Raises:
        UsageError: there is no such snapshot, IBM's Estimator refuses the options, or the circuits do not fit.
    """
    _check_options(config)
    backend = snapshot(config.backend.partition(":")[2])
    work = work_of(generator, sample_latents(generator, seeds))
    packs, _, estimate = _estimated(work, backend, config)
    note = "no account is asked: what mode it allows and what time it has is not known"
    return _estimate_lines(work, backend, config, packs, estimate, note)


def _check_options(config: HardwareConfig) -> None:
    """Refuse what IBM's Estimator would refuse."""
    for options in (legacy_options,) if config.estimator == "legacy" else (estimator_options, learner_options):
        options(config, [])


def _estimated(
    work: CircuitWork, backend: BackendV2, config: HardwareConfig
) -> tuple[list[PackedCircuit], list[Layer], Cost]:
    """Return the circuits on their places, the layers whose noise would be learned, and what all of it takes."""
    packs = packed(work.ansatz, work.weights_PK, backend.target, config.pack)
    layers = [layer for layer, _ in find_layers(backend, config, packs)] if config.learns_noise() else []
    estimate = cost(
        len(work.angles_BPQ),
        len(work.weights_PK),
        work.ansatz.num_observables,
        len(packs[0].members),
        measurement_bases(work.ansatz),
        config,
        getattr(backend, "default_rep_delay", None),
        len(layers),
    )
    return packs, layers, estimate


def _estimate_lines(
    work: CircuitWork,
    backend: BackendV2,
    config: HardwareConfig,
    packs: Sequence[PackedCircuit],
    estimate: Cost,
    mode: str,
) -> list[str]:
    device = (
        f"device {backend.name} ({backend.num_qubits} qubits): {len(work.weights_PK)} circuits of {work.ansatz.num_qubits} "
        f"qubits, {len(packs[0].members)} side by side, no swaps"
    )
    pec = [_overhead(packs[0], backend, config)] if config.pec else []
    return [device, mode, *estimate.lines(), *pec]


def _overhead(circuit: PackedCircuit, backend: BackendV2, config: HardwareConfig) -> str:
    """Return a line on what PEC takes by the calibration, and how much less it would be with one sub-generator alone."""
    together, sides = pec_sampling_overhead(circuit.circuit, backend.target), len(circuit.members)
    most = f"{config.pec_max_overhead:g}"
    if together > config.pec_max_overhead:
        line = f"; {most} times are taken and counted above (--pec-max-overhead), so that a part of the errors stays"
    else:
        line = f"; {most} times are counted above, and no more are taken (--pec-max-overhead)"
    if sides > 1:
        alone = _times(together ** (1 / sides))
        line += f"; the factors of the {sides} side by side multiply, and one alone takes about {alone} (--pack 1)"
    return f"PEC takes about {_times(together)} times the shots, says the calibration{line}"


def _times(factor: float) -> str:
    return f"{factor:,.1f}" if factor < 1e6 else f"{factor:.0e}"


def check_time(planned: Planned, config: HardwareConfig) -> str:
    """Refuse what would take longer than the user allows or than the account has left; return what it has left in words.

    Raises:
        UsageError: it would.
    """
    remaining = planned.account.remaining_seconds()
    seconds = planned.cost.seconds
    fewer = "take fewer images or --shots"
    if config.pec:
        fewer += ", or a smaller --pec-max-overhead"
    if planned.cost.learning:
        fewer += ", or learn the noise with fewer --noise-learning-shots"
    if config.max_qpu_seconds is not None and seconds > config.max_qpu_seconds:
        raise UsageError(f"--max-qpu-seconds {config.max_qpu_seconds:g}: about {seconds:,.0f} s are needed; {fewer}")
    if remaining is not None and seconds > remaining:
        raise UsageError(f"about {seconds:,.0f} s are needed and the account has {remaining:,.0f} s left; {fewer}")
    return (
        "the account has no limit of time, or does not tell it" if remaining is None else f"{remaining:,.0f} s remain"
    )


def submit(source: Path, seeds: Sequence[int], config: HardwareConfig, attempts: int) -> Path:
    """Send the circuits of some images to a device.

    Args:
        source: run or checkpoint folder.
        seeds: of the images.
        config: device, shots, mitigation, images of a job.
        attempts: how often a shard is sent at most.

    Returns:
        The folder of the submission, in the run's folder ``hardware``.

    Raises:
        RemoteError: the service refused; what was sent stays known, and :func:`collect` goes on.
        UsageError: it would cost too much, or cannot be run.
    """
    generator, _ = load_generator(source)
    planned = plan(generator, seeds, config)
    for line in [*planned.lines, check_time(planned, config)]:
        logger.info(line)
    described = SubmissionManifest(
        identity=secrets.token_hex(6),
        run=str(source.absolute()),
        digest=weights_digest(generator),
        seeds=tuple(seeds),
        settings=config,
        backend=planned.backend.name,
        mode=planned.mode,
        packs=tuple(
            {
                "members": list(one.members),
                "places": [list(place) for place in one.places],
                "observables": one.num_observables,
            }
            for one in planned.packs
        ),
        shards=tuple(
            (start, min(start + config.images_per_job, len(seeds)))
            for start in range(0, len(seeds), config.images_per_job)
        ),
        versions=versions(),
        layers=tuple(layer.to_json() for layer in planned.layers),
    )
    folder = _next_folder(find_run(source) / "hardware", planned.backend.name)
    submission = Submission.create(folder, described, planned.work.angles_BPQ, planned.work.weights_PK)
    logger.info(
        f"submission {folder}; if this is stopped, go on with: python -m qgan_qiskit.cli hardware collect "
        f"{shlex.quote(str(folder))}"
    )
    with submission.locked():
        Jobs(submission, planned.account).send(planned.backend, planned.packs, attempts)
    return folder


def collect(folder: Path, attempts: int, wait: bool) -> tuple[Submission, ExpectationResult | None]:
    """Fetch what is done, send what never arrived or failed, and return everything once it is there.

    Args:
        folder: of the submission.
        attempts: how often a shard is sent at most.
        wait: for jobs that are not done.

    Returns:
        The submission, and the readings of all its images, or None while some are missing.

    Raises:
        RemoteError: the service refused or failed; what is back stays.
    """
    submission = Submission.open(folder)
    with submission.locked():
        while not all(state.done for state in submission.states()):
            jobs = Jobs(submission, IbmAccount.open())
            jobs.adopt()
            jobs.fetch(wait=False)
            if jobs.unsent():
                _send_rest(submission, jobs, attempts)
            if not wait:
                break
            jobs.fetch(wait=True)
    states = submission.states()
    if not all(state.done for state in states):
        return submission, None
    return submission, ExpectationResult.joined([submission.readings(state.shard) for state in states], axis=0)


def images(submission: Submission, readings: ExpectationResult) -> Inferred:
    """Return the images of a submission that is back.

    Args:
        submission: from :func:`collect`.
        readings: of all its images.

    Raises:
        CheckpointError: the run is gone, or its weights are others now.
    """
    described = submission.described
    generator, _ = load_generator(Path(described.run))
    check_generator(described, generator)
    states = submission.states()
    device: dict[str, Any] = {
        "name": described.backend,
        "execution_mode": described.mode,
        "jobs": [state.job_id for state in states],
        "places": {
            str(member): place
            for one in described.packs
            for member, place in zip(one["members"], one["places"], strict=True)
        },
    }
    if described.layers:
        learning = submission.noise_state()
        device["noise_learning"] = {"job": learning.job_id, "layers": len(described.layers)}
        states.append(learning)
    seconds = sum(state.seconds or 0.0 for state in states)
    return inferred(generator, described.seeds, readings, described.settings, device, seconds)


def _send_rest(submission: Submission, jobs: Jobs, attempts: int) -> None:
    described = submission.described
    ansatz = _ansatz(described)
    _, weights_PK = submission.work()
    backend = jobs.account.device(described.backend, ansatz.num_qubits)
    packs = [
        pack(ansatz, weights_PK, one["members"], [tuple(place) for place in one["places"]], backend.target)
        for one in described.packs
    ]
    jobs.send(backend, packs, attempts)


def _ansatz(described: SubmissionManifest) -> CircuitSpec:
    generator, _ = load_generator(Path(described.run))
    check_generator(described, generator)
    return work_of(generator, sample_latents(generator, described.seeds[:1])).ansatz


def check_generator(described: SubmissionManifest, generator: Generator) -> None:
    """Refuse another generator than the one whose angles were sent: its decoder would make other images.

    Raises:
        CheckpointError: its weights are others.
    """
    if weights_digest(generator) != described.digest:
        raise CheckpointError(
            f"{described.run}: its weights are not those that were submitted; submit from a checkpoint (…/checkpoints/step-…), "
            "which does not move on, or bring it back"
        )


def weights_digest(generator: Generator) -> str:
    """Return the SHA-256 of a generator's weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def cancel(folder: Path) -> None:
    """Cancel the jobs of a submission that are not done.

    Raises:
        RemoteError: the service refused.
    """
    submission = Submission.open(folder)
    with submission.locked():
        number = Jobs(submission, IbmAccount.open()).cancel()
    logger.info(f"{number} job{'' if number == 1 else 's'} cancelled; `hardware collect` would send them again")


def _next_folder(parent: Path, name: str) -> Path:
    """Return a numbered name that is free; whoever makes it first has it.

    Raises:
        StorageError: the run's folder cannot be written to.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name[:5]) for path in parent.iterdir() if path.name[:5].isdigit()]
    except OSError as error:
        raise StorageError(f"{parent}: cannot be written to ({error.strerror}); nothing was sent") from None
    return parent / f"{max(numbers, default=-1) + 1:05d}-{name}"

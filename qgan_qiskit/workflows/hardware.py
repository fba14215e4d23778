"""Images from an IBM device: estimate, submit, collect, cancel. An interrupted submission resumes from its folder alone.

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
from qgan_qiskit.config.hardware import ATTEMPTS
from qgan_qiskit.errors import CheckpointError, StorageError, UsageError
from qgan_qiskit.hardware.backends import load_fake_backend
from qgan_qiskit.hardware.generator_circuits import CircuitInputs, circuit_inputs
from qgan_qiskit.hardware.ibm.cost import (
    Cost,
    count_measurement_bases,
    estimate_cost,
    estimate_pec_overhead,
    format_pec_overhead,
)
from qgan_qiskit.hardware.ibm.jobs import Jobs
from qgan_qiskit.hardware.ibm.learned_noise import GateLayer, find_layers
from qgan_qiskit.hardware.ibm.options import build_estimator_options, build_learner_options
from qgan_qiskit.hardware.ibm.service import IbmAccount, IBMBackend
from qgan_qiskit.hardware.ibm.submission import CircuitManifest, Submission, SubmissionManifest
from qgan_qiskit.hardware.packing import PackedCircuit, pack_circuit, pack_sub_generators
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.models import Generator
from qgan_qiskit.runs.load import find_run, load_generator
from qgan_qiskit.runs.run_folder import versions
from qgan_qiskit.runs.sample import sample_latents
from qgan_qiskit.workflows.inference import BackendImages, decode_result

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Estimate:
    """Packed circuits, the gate layers whose noise is learned before the images, and the cost of both."""

    circuits: list[PackedCircuit]
    layers: list[GateLayer]
    cost: Cost


@dataclass(frozen=True, eq=False)
class SubmissionPlan:
    """What would be submitted; nothing has been sent or written."""

    account: IbmAccount  # with access to the device
    backend: IBMBackend  # the device
    work: CircuitInputs  # angles and weights
    estimate: _Estimate  # circuits, layers and cost
    execution_mode: str  # session, batch or job
    lines: list[str]  # the plan for a person, without the account's QPU time


def plan_submission(generator: Generator, seeds: Sequence[int], config: HardwareConfig) -> SubmissionPlan:
    """Find the device, pack the circuits and estimate their cost.

    Raises:
        RemoteError: no access, or the device is out of service.
        UsageError: IBM's Estimator refuses the options, or the circuits do not fit.
    """
    _check_options(config)
    work = circuit_inputs(generator, sample_latents(generator, seeds))
    account = IbmAccount.open()
    backend = account.get_backend(config.device_name, work.ansatz.num_qubits)
    estimate = _estimate(work, backend, config)
    mode, reason = account.choose_execution_mode(config.execution_mode, estimate.cost.jobs)
    lines = _format_estimate(work, backend, config, estimate, f"execution mode: {mode} ({reason})")
    return SubmissionPlan(account, backend, work, estimate, mode, lines)


def estimate_on_fake_backend(generator: Generator, seeds: Sequence[int], config: HardwareConfig) -> list[str]:
    """Return, in lines, what images would cost on a device of which IBM's client has a snapshot; no account is asked.

    Raises:
        UsageError: there is no such snapshot, IBM's Estimator refuses the options, or the circuits do not fit.
    """
    _check_options(config)
    backend = load_fake_backend(config.device_name)
    work = circuit_inputs(generator, sample_latents(generator, seeds))
    note = "without an account, its execution modes and remaining time are unknown"
    return _format_estimate(work, backend, config, _estimate(work, backend, config), note)


def _check_options(config: HardwareConfig) -> None:
    """Refuse what IBM's client would refuse, before the network is used."""
    build_estimator_options(config)
    build_learner_options(config)


def _estimate(work: CircuitInputs, backend: BackendV2, config: HardwareConfig) -> _Estimate:
    circuits = pack_sub_generators(work.ansatz, work.weights_PK, backend.target, config.pack)
    layers = [layer for layer, _ in find_layers(backend, config, circuits)] if config.needs_noise_model() else []
    cost = estimate_cost(
        len(work.angles_BPQ),
        len(work.weights_PK),
        work.ansatz.num_observables,
        len(circuits[0].members),
        count_measurement_bases(work.ansatz),
        config,
        getattr(backend, "default_rep_delay", None),
        len(layers),
    )
    return _Estimate(circuits, layers, cost)


def _format_estimate(
    work: CircuitInputs, backend: BackendV2, config: HardwareConfig, estimate: _Estimate, mode: str
) -> list[str]:
    packed = estimate.circuits[0]
    device = (
        f"device {backend.name} ({backend.num_qubits} qubits): {len(work.weights_PK)} circuits of {work.ansatz.num_qubits} "
        f"qubits, {len(packed.members)} side by side, no swaps"
    )
    lines = [device, mode, *estimate.cost.format_lines()]
    if config.pec:
        overhead = estimate_pec_overhead(packed.circuit, backend.target)
        lines.append(format_pec_overhead(overhead, len(packed.members), config.pec_max_overhead))
    return lines


def check_qpu_time(plan: SubmissionPlan, config: HardwareConfig) -> str:
    """Check the estimated QPU time against the user's limit and the account's; return a line on what remains.

    Raises:
        UsageError: it is too long.
    """
    remaining = plan.account.remaining_seconds()
    seconds = plan.estimate.cost.seconds
    remedy = "take fewer images or --shots"
    if config.pec:
        remedy += ", or a smaller --pec-max-overhead"
    if plan.estimate.layers:
        remedy += ", or fewer --noise-learning-shots"
    if config.max_qpu_seconds is not None and seconds > config.max_qpu_seconds:
        raise UsageError(f"--max-qpu-seconds {config.max_qpu_seconds:g}: about {seconds:,.0f} s are needed; {remedy}")
    if remaining is not None and seconds > remaining:
        raise UsageError(f"about {seconds:,.0f} s are needed and the account has {remaining:,.0f} s left; {remedy}")
    return "the account's time is unlimited or unknown" if remaining is None else f"{remaining:,.0f} s remain"


def submit(source: Path, seeds: Sequence[int], config: HardwareConfig, attempts: int = ATTEMPTS) -> Path:
    """Send the circuits of some images to a device.

    Args:
        source: run or checkpoint folder.
        seeds: of the images.
        config: device, shots, mitigation, images per job.
        attempts: how often a job is sent at most.

    Returns:
        The folder of the submission, in the run's folder ``hardware``.

    Raises:
        RemoteError: the service refused; what was sent stays known, and :func:`collect` resumes.
        UsageError: it would cost too much, or cannot be run.
    """
    generator, _ = load_generator(source)
    plan = plan_submission(generator, seeds, config)
    for line in [*plan.lines, check_qpu_time(plan, config)]:
        logger.info(line)
    folder = _choose_folder(find_run(source) / "hardware", plan.backend.name)
    manifest = _build_manifest(source, generator, seeds, config, plan)
    submission = Submission.create(folder, manifest, plan.work.angles_BPQ, plan.work.weights_PK)
    logger.info(
        f"submission {folder}; if interrupted, resume with: python -m qgan_qiskit.cli hardware collect "
        f"{shlex.quote(str(folder))}"
    )
    with submission.exclusive_lock():
        Jobs(submission, plan.account).send(plan.backend, plan.estimate.circuits, attempts)
    return folder


def _build_manifest(
    source: Path, generator: Generator, seeds: Sequence[int], config: HardwareConfig, plan: SubmissionPlan
) -> SubmissionManifest:
    size = config.images_per_job
    return SubmissionManifest(
        id=secrets.token_hex(6),
        run=str(source.absolute()),
        weights_sha256=hash_weights(generator),
        seeds=tuple(seeds),
        settings=config,
        backend=plan.backend.name,
        execution_mode=plan.execution_mode,
        circuits=tuple(
            CircuitManifest(members=packed.members, layouts=packed.layouts, observables=packed.num_observables)
            for packed in plan.estimate.circuits
        ),
        shards=tuple((start, min(start + size, len(seeds))) for start in range(0, len(seeds), size)),
        versions=versions(),
        layers=tuple(layer.to_json() for layer in plan.estimate.layers),
    )


def collect(folder: Path, attempts: int = ATTEMPTS, wait: bool = True) -> tuple[Submission, ExpectationResult | None]:
    """Fetch finished results, send what failed or never arrived, and return everything once it is complete.

    Args:
        folder: of the submission.
        attempts: how often a job is sent at most.
        wait: for jobs that have not finished.

    Returns:
        The submission, and the expectation values of all its images, or None while some are missing.

    Raises:
        RemoteError: the service refused or failed; stored results are kept.
    """
    submission = Submission.open(folder)
    with submission.exclusive_lock():
        while not all(state.done for state in submission.shard_states()):
            jobs = Jobs(submission, IbmAccount.open())
            jobs.adopt()
            jobs.fetch(wait=False)
            if jobs.has_unsent():
                _send_rest(submission, jobs, attempts)
            if not wait:
                break
            jobs.fetch(wait=True)
    states = submission.shard_states()
    if not all(state.done for state in states):
        return submission, None
    results = [submission.load_result(state.shard) for state in states]
    return submission, ExpectationResult.concatenate(results, axis=0)


def _send_rest(submission: Submission, jobs: Jobs, attempts: int) -> None:
    manifest = submission.manifest
    spec = _load_circuit_spec(manifest)
    _, weights_PK = submission.load_inputs()
    backend = jobs.account.get_backend(manifest.backend, spec.num_qubits)
    circuits = [
        pack_circuit(spec, weights_PK, item.members, item.layouts, backend.target) for item in manifest.circuits
    ]
    jobs.send(backend, circuits, attempts)


def _load_circuit_spec(manifest: SubmissionManifest) -> CircuitSpec:
    generator = _load_generator(manifest)
    return circuit_inputs(generator, sample_latents(generator, manifest.seeds[:1])).ansatz


def decode_images(submission: Submission, result: ExpectationResult) -> BackendImages:
    """Return the images of a complete submission.

    Raises:
        CheckpointError: the run is missing, or its weights have changed.
    """
    manifest = submission.manifest
    generator = _load_generator(manifest)
    states = submission.shard_states()
    device: dict[str, Any] = {
        "name": manifest.backend,
        "execution_mode": manifest.execution_mode,
        "jobs": [state.job_id for state in states],
        "layouts": {
            str(member): layout
            for item in manifest.circuits
            for member, layout in zip(item.members, item.layouts, strict=True)
        },
    }
    if manifest.layers:
        learning = submission.noise_state()
        device["noise_learning"] = {"job": learning.job_id, "layers": len(manifest.layers)}
        states.append(learning)
    seconds = sum(state.seconds or 0.0 for state in states)
    return decode_result(generator, manifest.seeds, result, manifest.settings, device, seconds)


def _load_generator(manifest: SubmissionManifest) -> Generator:
    """Return the generator whose angles were sent; another one's decoder would make other images.

    Raises:
        CheckpointError: the run is missing, or its weights have changed.
    """
    generator, _ = load_generator(Path(manifest.run))
    if hash_weights(generator) != manifest.weights_sha256:
        raise CheckpointError(
            f"{manifest.run}: its weights have changed since they were submitted; restore them, or submit again from a "
            "checkpoint (…/checkpoints/step-…), which never changes"
        )
    return generator


def hash_weights(generator: Generator) -> str:
    """Return the SHA-256 of a generator's weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def cancel(folder: Path) -> None:
    """Cancel a submission's unfinished jobs.

    Raises:
        RemoteError: the service refused.
    """
    submission = Submission.open(folder)
    with submission.exclusive_lock():
        canceled = Jobs(submission, IbmAccount.open()).cancel()
    logger.info(f"{canceled} job{'' if canceled == 1 else 's'} canceled; `hardware collect` would send them again")


def _choose_folder(parent: Path, name: str) -> Path:
    """Return the next numbered folder name; whoever creates it first owns it.

    Raises:
        StorageError: the run's folder cannot be written to.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name[:5]) for path in parent.iterdir() if path.name[:5].isdigit()]
    except OSError as error:
        raise StorageError(f"{parent}: cannot be written to ({error.strerror}); nothing was sent") from None
    return parent / f"{max(numbers, default=-1) + 1:05d}-{name}"

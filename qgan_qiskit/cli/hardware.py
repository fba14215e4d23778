"""``hardware``: a trained generator's circuits on an IBM device: cost, submit, status, collect, cancel."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from qgan_qiskit.cli.generate import MOST_IMAGES, hardware_settings, wanted_seeds
from qgan_qiskit.cli.options import settings_options
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.config.hardware import ATTEMPTS
from qgan_qiskit.errors import UsageError

logger = logging.getLogger(__name__)

# Settings of simulated backends only.
_EXCLUDED = ("processes", "shot_seed")

_SUBMISSION = click.argument("submission", type=click.Path(path_type=Path))
_ATTEMPTS = click.option(
    "--attempts",
    type=click.IntRange(1, 100),
    default=ATTEMPTS,
    show_default=True,
    help="How often a job is sent at most, if it fails.",
)


@click.group()
def command() -> None:
    """Run circuits on an IBM device: estimate the cost, and submit jobs that survive a crash."""


def _image_options(function: Any) -> Any:
    """Add the run, its images and the device."""
    function = settings_options("hardware", HardwareConfig, exclude=_EXCLUDED)(function)
    function = click.option(
        "--seeds", default=None, metavar="LIST", help="Which images, such as 0-35. [default: from -n]"
    )(function)
    function = click.option(
        "-n", "--number", type=click.IntRange(1, MOST_IMAGES), default=None, help="How many images. [default: 64]"
    )(function)
    return click.argument("source", metavar="RUN", type=click.Path(path_type=Path))(function)


@command.command()
@_image_options
def cost(source: Path, number: int | None, seeds: str | None, **options: Any) -> None:
    """Estimate what images cost; nothing is sent.

    With --backend fake:NAME no account is needed: the estimate is for IBM's snapshot of that device.
    """
    simulated = str(options["hardware__backend"]).startswith("fake:")
    if simulated and options["hardware__max_qpu_seconds"] is not None:
        raise UsageError("--max-qpu-seconds limits what is sent to a device: leave it out with a simulated one")
    wanted, config = wanted_seeds(number, seeds), _parse_settings(options, "cost" if simulated else None)
    from qgan_qiskit.runs.load import load_generator
    from qgan_qiskit.workflows.hardware import check_qpu_time, estimate_on_fake_backend, plan_submission

    generator, _ = load_generator(source)
    if simulated:
        lines = estimate_on_fake_backend(generator, wanted, config)
    else:
        plan = plan_submission(generator, wanted, config)
        lines = [*plan.lines, check_qpu_time(plan, config)]
    for line in lines:
        click.echo(line)


def _parse_settings(options: dict[str, Any], kind: str | None = None) -> HardwareConfig:
    backend = str(options["hardware__backend"] or "exact")
    if kind is None and backend.partition(":")[0] in ("exact", "shots", "aer", "fake"):
        raise UsageError(
            "--backend ibm:NAME or ibm:least-busy is needed; simulated backends are for `generate`, and fake:NAME also for "
            "`hardware cost`"
        )
    return hardware_settings(options, kind)


@command.command()
@_image_options
@_ATTEMPTS
def submit(source: Path, number: int | None, seeds: str | None, attempts: int, **options: Any) -> None:
    """Send the circuits of images; print the folder that `collect` takes."""
    wanted, config = wanted_seeds(number, seeds), _parse_settings(options)
    from qgan_qiskit.hardware.ibm.submission import Submission
    from qgan_qiskit.workflows import hardware

    folder = hardware.submit(source, wanted, config, attempts)
    if Submission.open(folder).awaits_noise_model():
        logger.info("`hardware collect` sends the images' jobs once the noise is learned")
    click.echo(str(folder))


@command.command()
@_SUBMISSION
def status(submission: Path) -> None:
    """Report the progress of a submission from its folder, without contacting the service."""
    from qgan_qiskit.hardware.ibm.submission import Submission

    for line in Submission.open(submission).format_status():
        click.echo(line)


@command.command()
@_SUBMISSION
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="New folder, .zip or .npz for the images, or .png for one. [default: images in the submission]",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for jobs that have not finished.")
@_ATTEMPTS
def collect(submission: Path, output: Path | None, wait: bool, attempts: int) -> None:
    """Fetch finished results, send what is due, failed or never arrived, and write the images once all are complete."""
    from qgan_qiskit.hardware.ibm.submission import Submission
    from qgan_qiskit.workflows import hardware
    from qgan_qiskit.workflows.generate import check_output, write_collected

    output = output or submission / "images"
    check_output(output, len(Submission.open(submission).manifest.seeds))
    opened, result = hardware.collect(submission, attempts, wait)
    if result is None:
        logger.info("some results are missing; collect again later")
        return
    manifest = opened.manifest
    write_collected(hardware.decode_images(opened, result), Path(manifest.run), manifest.seeds, output)


@command.command()
@_SUBMISSION
def cancel(submission: Path) -> None:
    """Cancel the unfinished jobs of a submission."""
    from qgan_qiskit.workflows import hardware

    hardware.cancel(submission)

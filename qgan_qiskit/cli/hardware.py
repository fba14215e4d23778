"""``hardware``: a trained generator's circuits on an IBM device: cost, submit, status, collect, cancel."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from qgan_qiskit.cli.generate import MOST_IMAGES, hardware_settings, wanted_seeds
from qgan_qiskit.cli.options import Decorator, settings_options
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.config.hardware import ATTEMPTS
from qgan_qiskit.errors import UsageError

logger = logging.getLogger(__name__)


_LOCAL = ("processes", "shot_seed")


@click.group()
def command() -> None:
    """Circuits on an IBM device: what they cost, and jobs that survive a crash."""


def _what() -> Decorator:
    """Add the run, the images and the device."""

    def add(function: Any) -> Any:
        function = settings_options("hardware", HardwareConfig, exclude=_LOCAL)(function)
        function = click.option(
            "--seeds", default=None, metavar="LIST", help="Which images, such as 0-35. [default: from -n]"
        )(function)
        function = click.option(
            "-n", "--number", type=click.IntRange(1, MOST_IMAGES), default=None, help="How many images. [default: 64]"
        )(function)
        return click.argument("source", metavar="RUN", type=click.Path(path_type=Path))(function)

    return add


_ATTEMPTS = click.option(
    "--attempts",
    type=click.IntRange(1, 100),
    default=ATTEMPTS,
    show_default=True,
    help="How often a job is sent at most, when it fails.",
)


def _settings(
    number: int | None, seeds: str | None, options: dict[str, Any], *, simulated: bool = False
) -> tuple[list[int], HardwareConfig]:
    wanted, backend = wanted_seeds(number, seeds), str(options["hardware__backend"] or "exact")
    if not simulated and backend.partition(":")[0] in ("exact", "shots", "aer", "fake"):
        raise UsageError(
            "--backend ibm:NAME or ibm:least-busy is needed; simulated devices are for `generate`, and fake:NAME also for "
            "`hardware cost`"
        )
    if simulated and options["hardware__max_qpu_seconds"] is not None:
        raise UsageError("--max-qpu-seconds limits what is sent to a device: leave it out with a simulated one")
    config = hardware_settings(options, "cost" if simulated else None)
    return wanted, config


@command.command()
@_what()
def cost(source: Path, number: int | None, seeds: str | None, **options: Any) -> None:
    """Say what images would cost; nothing is sent.

    With --backend fake:NAME no account is needed: the estimate is for IBM's snapshot of that device.
    """
    simulated = str(options["hardware__backend"]).startswith("fake:")
    wanted, config = _settings(number, seeds, options, simulated=simulated)
    from qgan_qiskit.runs.load import load_generator
    from qgan_qiskit.workflows.hardware import check_time, estimate_on_snapshot, plan

    generator, _ = load_generator(source)
    if simulated:
        lines = estimate_on_snapshot(generator, wanted, config)
    else:
        planned = plan(generator, wanted, config)
        lines = [*planned.lines, check_time(planned, config)]
    for line in lines:
        click.echo(line)


@command.command()
@_what()
@_ATTEMPTS
def submit(source: Path, number: int | None, seeds: str | None, attempts: int, **options: Any) -> None:
    """Send the circuits of images; prints the folder that `collect` takes."""
    wanted, config = _settings(number, seeds, options)
    from qgan_qiskit.hardware.ibm.submission import Submission
    from qgan_qiskit.workflows import hardware as remote

    folder = remote.submit(source, wanted, config, attempts)
    if Submission.open(folder).noise_is_missing():
        logger.info("`hardware collect` sends the images' jobs when the noise is learned")
    click.echo(str(folder))


@command.command()
@click.argument("submission", type=click.Path(path_type=Path))
def status(submission: Path) -> None:
    """Say how far a submission is, from its own notes: asks nobody."""
    from qgan_qiskit.hardware.ibm.submission import Submission

    for line in Submission.open(submission).report():
        click.echo(line)


@command.command()
@click.argument("submission", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="New folder, .zip or .npz for the images, or .png for one. [default: images in the submission]",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for jobs that are not done.")
@_ATTEMPTS
def collect(submission: Path, output: Path | None, wait: bool, attempts: int) -> None:
    """Fetch what is done, send what is due, never arrived or failed, and write the images once all are back."""
    from qgan_qiskit.workflows import hardware as remote
    from qgan_qiskit.workflows.generate import check_output, write_collected

    output = output or submission / "images"
    from qgan_qiskit.hardware.ibm.submission import Submission

    check_output(output, len(Submission.open(submission).described.seeds))
    opened, readings = remote.collect(submission, attempts, wait)
    if readings is None:
        logger.info("not all is back; collect again later")
        return
    described = opened.described
    write_collected(remote.images(opened, readings), Path(described.run), described.seeds, output)


@command.command()
@click.argument("submission", type=click.Path(path_type=Path))
def cancel(submission: Path) -> None:
    """Cancel the jobs of a submission that are not done."""
    from qgan_qiskit.workflows import hardware as remote

    remote.cancel(submission)

"""``generate``: images from a run or checkpoint, to a folder, zip or npz, with a grid and an interpolation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.options import collect_changes, describe_problem, option_name, settings_options
from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.config.hardware import find_unused_settings
from qgan_qiskit.errors import UsageError

MOST_IMAGES = 1_000_000
_DEFAULT_IMAGES, _DEFAULT_FRAMES = 64, 8


@click.command()
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "-n",
    "--number",
    type=click.IntRange(1, MOST_IMAGES),
    default=None,
    help="How many images: seeds 0 to N-1. [default: 64]",
)
@click.option(
    "--seeds", default=None, metavar="LIST", help="Which images, such as 0-35 or 3,7,100-110. [default: from -n]"
)
@click.option(
    "--class",
    "class_names",
    default=None,
    metavar="NAME",
    help="Only this class, or these (df,nv), of a run that has several. [default: all, equally likely]",
)
@click.option(
    "--per-class",
    type=click.IntRange(1, MOST_IMAGES),
    default=None,
    metavar="N",
    help="N images of each class, seeds 0 to N-1, instead of -n. [default: none]",
)
@click.option(
    "--output",
    type=click.Path(),
    default=None,
    help="New folder, .zip or .npz for the images, or .png for one. [default: generated in the run folder, unless a picture "
    "is asked for]",
)
@click.option(
    "--grid",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Picture of all images side by side. [default: none]",
)
@click.option(
    "--interpolation",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Picture (.png) or animation (.gif) of the path from each seed to the next. [default: none]",
)
@click.option(
    "--frames", type=click.IntRange(2, 240), default=None, help="Images from one seed to the next. [default: 8]"
)
@click.option(
    "--execution",
    type=click.Choice(["fused", "connectors"]),
    default=None,
    help="Simulate all circuits together, or each through its own TorchConnector. [default: as in training]",
)
@settings_options("hardware", HardwareConfig)
def command(
    source: Path,
    number: int | None,
    seeds: str | None,
    class_names: str | None,
    per_class: int | None,
    output: str | None,
    grid: Path | None,
    interpolation: Path | None,
    frames: int | None,
    execution: str | None,
    **options: Any,
) -> None:
    """Generate images from RUN, a run folder or a checkpoint in one; the same seed gives the same bytes.

    With --backend the circuits run on a device, whose results are written beside the images.
    """
    if per_class is not None and number is not None:
        raise UsageError("-n and --per-class exclude each other: give one")
    if per_class is not None and seeds is not None:
        raise UsageError("--seeds and --per-class exclude each other: give one")
    chosen = wanted_seeds(per_class or number, seeds)
    if interpolation is not None and len(chosen) < 2:
        raise UsageError("--interpolation needs at least two seeds")
    if frames is not None and interpolation is None:
        raise UsageError("--frames has no effect without --interpolation: leave it out")
    images = None if output is None else output_path(output)
    if grid is not None and grid.suffix.lower() != ".png":
        raise UsageError(f"--grid {grid}: the grid is written as PNG; name a file ending in .png")
    if interpolation is not None and interpolation.suffix.lower() not in (".png", ".gif"):
        raise UsageError(f"--interpolation {interpolation}: name a file ending in .png or .gif")
    hardware = hardware_settings(options)
    from qgan_qiskit.runs.load import find_run
    from qgan_qiskit.workflows.generate import Outputs, generate

    if images is None and grid is None and interpolation is None:
        images = find_run(source) / "generated"
    outputs = Outputs(images, grid, interpolation, frames or _DEFAULT_FRAMES, per_class is not None)
    generate(source, chosen, outputs, hardware, class_names, execution)


def output_path(text: str) -> Path:
    """Return the path of ``--output``.

    Raises:
        UsageError: it is empty, or has the suffix of a file and the slash of a folder at its end.
    """
    if not text:
        raise UsageError("--output is empty: name a folder, .zip or .npz, or for one image a .png")
    path = Path(text)
    if text.endswith(("/", "\\")) and path.suffix.lower() in (".png", ".zip", ".npz"):
        raise UsageError(
            f"--output {text}: ends like a file and like a folder; leave the last '{text[-1]}' or the suffix out"
        )
    return path


def wanted_seeds(number: int | None, seeds: str | None) -> list[int]:
    """Return the seeds that ``-n`` or ``--seeds`` request, 64 without either.

    Raises:
        UsageError: both are given, or the list is malformed.
    """
    if number is not None and seeds is not None:
        raise UsageError("-n and --seeds exclude each other: give one")
    return list(range(number or _DEFAULT_IMAGES)) if seeds is None else parse_seeds(seeds)


def hardware_settings(options: dict[str, Any], kind: str | None = None) -> HardwareConfig:
    """Return the settings of ``hardware__field`` keyword arguments.

    Args:
        options: all keyword arguments of a command.
        kind: of backend, see :func:`find_unused_settings`; None for that of the ``backend`` setting.

    Raises:
        UsageError: a value is out of range, does not fit the others, or would have no effect.
    """
    settings = collect_changes(options).get("hardware", {})
    try:
        config = HardwareConfig(**settings)
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    idle = find_unused_settings(config, settings, kind)
    if idle:
        why = next(iter(idle.values()))
        named = ", ".join(option_name(name) for name, reason in idle.items() if reason == why)
        raise UsageError(f"{named} has no effect {why}: leave it out")
    return config


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as ``0-35`` or ``3,7,100-110``.

    Raises:
        UsageError: the list is malformed, names a seed twice, or names more than a million.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
            raise UsageError(f"--seeds '{text}': '{part}' is not a seed or a range such as 0-35")
        low, high = int(first), int(last or first)
        if high < low or high >= 2**63:
            raise UsageError(f"--seeds '{text}': '{part}' is not an increasing range of seeds below 2**63")
        if len(seeds) + high - low >= MOST_IMAGES:
            raise UsageError(f"--seeds '{text}' names more than {MOST_IMAGES:,} seeds; use fewer at a time")
        seeds += range(low, high + 1)
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds '{text}' names a seed twice; name each once")
    return seeds

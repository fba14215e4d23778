"""``generate``: images from a run or checkpoint, to a folder, zip or npz, with a grid and an interpolation."""

from __future__ import annotations

from pathlib import Path

import click

from qgan_qiskit.cli.say import say
from qgan_qiskit.errors import UsageError

_MOST = 1_000_000


@click.command()
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "-n", "--number", type=click.IntRange(1, _MOST), default=None, help="How many images: seeds 0 to N-1. [default: 64]"
)
@click.option(
    "--seeds", default=None, metavar="LIST", help="Which images, such as 0-35 or 3,7,100-110. [default: from -n]"
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=None,
    help="New folder, .zip or .npz for the images. [default: generated in the run folder, unless a picture is asked for]",
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
    help="Picture (.png) or animation (.gif) of the way from each seed to the next. [default: none]",
)
@click.option(
    "--frames", type=click.IntRange(2, 240), default=8, show_default=True, help="Images from one seed to the next."
)
def command(
    source: Path,
    number: int | None,
    seeds: str | None,
    output: Path | None,
    grid: Path | None,
    interpolation: Path | None,
    frames: int,
) -> None:
    """Make images from RUN, a run folder or a checkpoint in one; the same seed gives the same bytes."""
    if number is not None and seeds is not None:
        raise UsageError("-n and --seeds exclude each other: give one")
    wanted = list(range(number or 64)) if seeds is None else parse_seeds(seeds)
    if interpolation is not None and len(wanted) < 2:
        raise UsageError("--interpolation needs at least two seeds")
    if grid is not None and grid.suffix.lower() != ".png":
        raise UsageError(f"--grid {grid}: is written as PNG; name a file ending in .png")
    if interpolation is not None and interpolation.suffix.lower() not in (".png", ".gif"):
        raise UsageError(f"--interpolation {interpolation}: name a file ending in .png or .gif")
    from qgan_qiskit.experiment import run_of
    from qgan_qiskit.generate import write_images, write_pictures

    if output is None and grid is None and interpolation is None:
        output = run_of(source) / "generated"
    if output is not None:
        write_images(source, wanted, output, say)
    if grid is not None or interpolation is not None:
        write_pictures(source, wanted, grid, interpolation, frames, say)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as ``0-35`` or ``3,7,100-110``.

    Raises:
        UsageError: the text is not such a list, names a seed twice, or names more than a million.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
            raise UsageError(f"--seeds '{text}': '{part}' is not a seed or a range such as 0-35")
        low, high = int(first), int(last or first)
        if high < low or high >= 2**63:
            raise UsageError(f"--seeds '{text}': '{part}' is not a range of rising seeds below 2**63")
        if len(seeds) + high - low >= _MOST:
            raise UsageError(f"--seeds '{text}' names more than {_MOST:,} seeds; ask for fewer at a time")
        seeds += range(low, high + 1)
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds '{text}' names a seed twice; name each once")
    return seeds

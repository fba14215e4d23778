"""``prototypes``: mean features of each class, for MediQ-GAN to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.options import collect_changes, config_options, describe_problem
from qgan_qiskit.config import DataConfig
from qgan_qiskit.errors import UsageError


@click.command()
@click.option(
    "--backbone",
    type=click.Choice(("mobilenet_v2", "resnet18", "resnet50")),
    default=None,
    help="Network of torchvision whose pooled features are taken: 1280, 512 or 2048 numbers. [default: none]",
)
@click.option("--weights", default=None, metavar="FILE", help="Its weights, with torchvision's names. [default: none]")
@click.option(
    "--normalization",
    type=click.Choice(("imagenet", "symmetric")),
    default="imagenet",
    show_default=True,
    help="What the weights expect of pixels: ImageNet's mean and deviation, or -1 to 1.",
)
@click.option(
    "--input-size",
    type=click.IntRange(16, 512),
    default=None,
    help="Side that images are brought to for the network. [default: their own]",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    default=None,
    help="A mediq run, whose critic takes the network's place. [default: none]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("prototypes.npz"),
    help="File for fit --prototype-file. [default: prototypes.npz]",
)
@config_options("data", exclude=("augment",))
def command(
    backbone: str | None,
    weights: str | None,
    normalization: str,
    input_size: int | None,
    run: Path | None,
    output: Path,
    **options: Any,
) -> None:
    """Write the mean features of each class of some images, which MediQ-GAN draws its latents around.

    Features are those of a pretrained network, or of the critic of an earlier run.
    """
    try:
        data = DataConfig.model_validate(collect_changes(options).get("data", {}))
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    from qgan_qiskit.workflows.prototypes import make_prototypes

    made = make_prototypes(
        data,
        output,
        backbone=backbone,
        weights=weights,
        normalization=normalization,
        input_size=input_size,
        run=run,
    )
    click.echo(str(made))

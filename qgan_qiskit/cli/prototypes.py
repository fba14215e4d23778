"""Command ``prototypes``: mean features of each class, around which MediQ-GAN samples its latents."""

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
    help="torchvision network whose pooled features are used: 1280, 512 or 2048 of them. [default: none]",
)
@click.option("--weights", metavar="FILE", help="Weights of the network, with torchvision's names. [default: none]")
@click.option(
    "--normalization",
    type=click.Choice(("imagenet", "symmetric")),
    default="imagenet",
    show_default=True,
    help="Pixel values that the weights expect: ImageNet's mean and deviation, or -1 to 1.",
)
@click.option(
    "--input-size",
    type=click.IntRange(16, 512),
    help="Side that images are resized to for the network. [default: their own]",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    help="mediq run whose critic replaces the network. [default: none]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("prototypes.npz"),
    help="File for fit --prototype-file. [default: prototypes.npz]",
)
@config_options("data", exclude=("augment",))
def command(output: Path, **options: Any) -> None:
    """Write the mean features of each class of a data source, around which MediQ-GAN samples its latents.

    The features are those of a pretrained network, or of the critic of an earlier run.
    """
    own = {name: options.pop(name) for name in ("backbone", "weights", "normalization", "input_size", "run")}
    try:
        data = DataConfig.model_validate(collect_changes(options).get("data", {}))
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    from qgan_qiskit.workflows.prototypes import make_prototypes

    click.echo(str(make_prototypes(data, output, **own)))

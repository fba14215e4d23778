"""Command ``evaluate``: metrics of trained runs as a table, a JSON file, and a picture of near-duplicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from qgan_qiskit.cli.options import collect_changes, config_options, describe_problem
from qgan_qiskit.config import METRICS, EvaluationConfig, TrainingConfig
from qgan_qiskit.errors import UsageError


@click.command()
@click.argument("sources", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--metrics",
    "evaluation__metrics",
    help=f"What to measure: all, or a list of {','.join(METRICS)}. [default: all that images and weights allow]",
)
@click.option(
    "--class",
    "data__class_name",
    help="Class of the real images, by name (MEL), or 'all'. [default: that of the run]",
)
@click.option("--device", default="cpu", show_default=True, help="Where the Inception network runs: cpu, cuda, cuda:1.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON file for the results of all runs; an existing one is replaced. [default: evaluation.json in each run folder]",
)
@config_options(
    "data",
    exclude=("class_name", "resolution", "color", "synthetic_per_class", "augment"),
    default="that of the run",
)
@config_options("evaluation", exclude=("metrics", "metrics_every"))
def command(sources: tuple[Path, ...], device: str, output: Path | None, **options: Any) -> None:
    """Measure samples of RUN, a run folder or a checkpoint in one, against the real images of the run, or others.

    Runs on the same images share a table. The samples are those of seeds 0 to N-1. Without --fid-weights only pixel metrics
    are measured.
    """
    changes = collect_changes(options)
    try:
        TrainingConfig.model_validate({"device": device})
        config = EvaluationConfig.model_validate({"metrics": "all", **changes.get("evaluation", {})})
    except ValidationError as error:
        raise UsageError(describe_problem(error, options=True)) from None
    lacking = [] if config.metrics == "all" else config.lacking_weights()
    if lacking:
        raise UsageError(f"--metrics {','.join(lacking)} needs --fid-weights, a file of Inception weights")
    from qgan_qiskit.workflows.evaluate import evaluate, format_report

    click.echo(format_report(evaluate(sources, changes.get("data", {}), config, output, device)))

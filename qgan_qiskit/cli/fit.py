"""``fit``: train a GAN per class, or go on with a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

from qgan_qiskit.cli.options import SECTIONS, apply, config_options, given, option_name
from qgan_qiskit.config import PRESETS, RESUMABLE, EvaluationConfig, RunConfig, preset
from qgan_qiskit.config.base import is_there
from qgan_qiskit.errors import CheckpointError, UsageError

logger = logging.getLogger(__name__)


@click.command()
@click.option("--model", type=click.Choice(list(PRESETS)), default=None, help="Which model. [default: hybridq]")
@click.option(
    "--preset",
    "preset_name",
    default=None,
    metavar="NAME",
    help="Settings to start from: "
    + "; ".join(f"{model}: {', '.join(names)}" for model, names in PRESETS.items())
    + ". [default: default]",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=None,
    help="JSON file of settings, such as a run's config.json; options given here win over it. [default: none]",
)
@click.option(
    "--outdir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    help="Where the numbered run folder goes. [default: runs]",
)
@click.option(
    "--resume",
    default=None,
    metavar="RUN",
    help="Go on with this run folder, or 'auto' for the newest one in --outdir. [default: none]",
)
@click.option("-n", "--dry-run", is_flag=True, help="Print the resolved settings and stop. [default: off]")
@config_options(*SECTIONS, shown=preset("hybridq", "default"))
def command(
    model: str | None,
    preset_name: str | None,
    config_file: Path | None,
    outdir: Path,
    resume: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Train a GAN on images: one run folder per class, with settings, log, pictures and checkpoints.

    Defaults are those of the preset 'default' of HybridQ; another preset or model may have others (see -n).
    """
    changes = given(options)
    training = changes.get("training", {})
    if "epochs" in training and "steps" not in training:
        # Steps win over epochs; those of a file or run must not win over epochs asked for now.
        training["steps"] = None
    if resume is not None:
        if model or preset_name or config_file:
            raise UsageError("--resume goes on with the settings of the run: leave --model, --preset and --config out")
        _resume(resume, outdir, changes, dry_run)
        return
    config = _resolve(model, preset_name, config_file, changes)
    _check_effect(config, changes)
    if dry_run:
        click.echo(config.model_dump_json(indent=1))
        _say_data(config)
        return
    from qgan_qiskit.workflows.fit import fit

    fit(config, outdir)


def _say_data(config: RunConfig) -> None:
    """Say what the source holds, without decoding it; settings may also be resolved where the images are not."""
    if config.data.path is not None and is_there(config.data.path):
        from qgan_qiskit.data import summarize_listing

        for line in summarize_listing(config.data):
            logger.info(line)


def _resolve(
    model: str | None, preset_name: str | None, config_file: Path | None, changes: dict[str, dict[str, Any]]
) -> RunConfig:
    """Preset, then file, then options."""
    content: dict[str, Any] = {} if config_file is None else _read(config_file)
    section = content.get("model", {})
    file_model = section.get("name") if isinstance(section, dict) else None
    config = preset(str(model or file_model or "hybridq"), str(preset_name or content.get("preset", "default")))
    if config_file is not None:
        _find_circuit(section, config_file)
        if model is not None and file_model not in (None, model):
            raise UsageError(f"--model {model}: {config_file} is for {file_model}; leave one of them out")
        if content.get("format", 1) != 1:
            raise UsageError(f"{config_file}: format {content['format']}, this version reads 1")
        sections = {key: value for key, value in content.items() if key not in ("format", "preset")}
        config = apply(config, sections, str(config_file))
    return apply(config, changes, "")


def _check_effect(config: RunConfig, changes: dict[str, dict[str, Any]]) -> None:
    """Refuse an option that would do nothing beside the others: its author expects something of it."""
    training = config.training
    measuring = tuple(name for name in EvaluationConfig.model_fields if name != "metrics")
    rules = [
        (training.loss != "wgan-gp", "without --loss wgan-gp", ("gp_weight",)),
        (training.optimizer == "sgd", "with --optimizer sgd", ("beta1", "beta2")),
        (training.diff_augment == "none", "without --diff-augment", ("diff_augment_from",)),
        (config.evaluation.metrics == "none", "without --metrics", measuring),
    ]
    ineffective = [(why, names) for applies, why, names in rules if applies] + config.model.ineffective()
    given_names = {name for fields in changes.values() for name in fields}
    for why, names in ineffective:
        if unused := [option_name(name) for name in names if name in given_names]:
            raise UsageError(f"{', '.join(unused)} has no effect {why}: leave it out")


def _find_circuit(section: Any, config_file: Path) -> None:
    """Let a circuit that lies beside the file that names it be found, as in a run folder."""
    if isinstance(section, dict) and isinstance(section.get("ansatz"), str):
        beside = config_file.parent / section["ansatz"]
        if beside.is_file():
            section["ansatz"] = str(beside)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: not a JSON object of settings")
    return content


def _resume(target: str, outdir: Path, changes: dict[str, dict[str, Any]], dry_run: bool) -> None:
    from qgan_qiskit.runs.run_folder import RunFolder
    from qgan_qiskit.workflows.fit import resume

    path = _newest(outdir) if target == "auto" else Path(target)
    for section, fields in changes.items():
        for name in fields:
            if section != "evaluation" and (section != "training" or name not in RESUMABLE):
                allowed = ", ".join(option_name(field) for field in RESUMABLE)
                raise UsageError(
                    f"{option_name(name)} would make another run of {path}; with --resume only {allowed} and the options of "
                    "measurements may be given"
                )
    config = apply(RunFolder.open(path).config(), changes, "")
    if dry_run:
        click.echo(config.model_dump_json(indent=1))
        return
    resume(path, changes)


def _newest(outdir: Path) -> Path:
    runs = (
        sorted(path for path in outdir.glob("[0-9]*-*") if (path / "config.json").is_file()) if outdir.is_dir() else []
    )
    if not runs:
        raise CheckpointError(f"{outdir}: no run to go on with; name one with --resume, or another --outdir")
    return runs[-1]

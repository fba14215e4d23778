"""``fit``: train a GAN per class, or resume a run."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

from qgan_qiskit.cli.options import (
    SECTIONS,
    Changes,
    apply,
    collect_changes,
    config_options,
    option_name,
)
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
    help="JSON file of settings, such as a run's config.json; options on the command line override it. [default: none]",
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
    help="Resume this run folder, or 'auto' for the newest one in --outdir. [default: none]",
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
    changes = collect_changes(options)
    training = changes.get("training", {})
    if "epochs" in training and "steps" not in training:
        # Steps override epochs, but those of a file or run must not override epochs given now.
        training["steps"] = None
    if resume is not None:
        if model or preset_name or config_file:
            raise UsageError("--resume keeps the settings of the run: leave --model, --preset and --config out")
        _resume(resume, outdir, changes, dry_run)
        return
    config = _resolve(model, preset_name, config_file, changes)
    _refuse_idle_options(config, changes)
    if dry_run:
        click.echo(config.model_dump_json(indent=1))
        _log_data(config)
        return
    from qgan_qiskit.workflows.fit import fit

    fit(config, outdir)


def _log_data(config: RunConfig) -> None:
    """Log what the source contains, without decoding it; a dry run also works where there are no images."""
    if config.data.path is not None and is_there(config.data.path):
        from qgan_qiskit.data import summarize_listing

        for line in summarize_listing(config.data):
            logger.info(line)


def _resolve(model: str | None, preset_name: str | None, config_file: Path | None, changes: Changes) -> RunConfig:
    """Apply the file to the preset, and the options to both."""
    content: dict[str, Any] = {} if config_file is None else _read_file(config_file)
    section = content.get("model", {})
    file_model = section.get("name") if isinstance(section, dict) else None
    config = preset(str(model or file_model or "hybridq"), str(preset_name or content.get("preset", "default")))
    if config_file is not None:
        _resolve_circuit(section, config_file)
        if model is not None and file_model not in (None, model):
            raise UsageError(f"--model {model}: {config_file} is for {file_model}; leave one of them out")
        if content.get("format", 1) != 1:
            raise UsageError(f"{config_file}: format {content['format']}, this version reads 1")
        sections = {key: value for key, value in content.items() if key not in ("format", "preset")}
        config = apply(config, sections, str(config_file))
    return apply(config, changes, "")


def _refuse_idle_options(config: RunConfig, changes: Changes) -> None:
    """Refuse an option that would have no effect together with the others."""
    training = config.training
    evaluation_fields = tuple(name for name in EvaluationConfig.model_fields if name != "metrics")
    rules = [
        (training.loss != "wgan-gp", "without --loss wgan-gp", ("gp_weight",)),
        (training.optimizer == "sgd", "with --optimizer sgd", ("beta1", "beta2")),
        (training.diff_augment == "none", "without --diff-augment", ("diff_augment_from",)),
        (config.evaluation.metrics == "none", "without --metrics", evaluation_fields),
    ]
    idle = [(why, names) for applies, why, names in rules if applies] + config.model.ineffective()
    given_names = {name for fields in changes.values() for name in fields}
    for why, names in idle:
        if unused := [option_name(name) for name in names if name in given_names]:
            raise UsageError(f"{', '.join(unused)} has no effect {why}: leave it out")


def _resolve_circuit(section: Any, config_file: Path) -> None:
    """Find a circuit in the folder of the file that names it, as in a run folder."""
    if isinstance(section, dict) and isinstance(section.get("ansatz"), str):
        circuit = config_file.parent / section["ansatz"]
        if circuit.is_file():
            section["ansatz"] = str(circuit)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--config {path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: not a JSON object of settings")
    return content


def _resume(target: str, outdir: Path, changes: Changes, dry_run: bool) -> None:
    from qgan_qiskit.runs.run_folder import RunFolder
    from qgan_qiskit.workflows.fit import resume

    path = _find_newest_run(outdir) if target == "auto" else Path(target)
    for section, fields in changes.items():
        for name in fields:
            if section != "evaluation" and (section != "training" or name not in RESUMABLE):
                allowed = ", ".join(option_name(field) for field in RESUMABLE)
                raise UsageError(
                    f"{option_name(name)} would make {path} another run; with --resume only {allowed} and the options of "
                    "evaluation may be given"
                )
    config = apply(RunFolder.open(path).config(), changes, "")
    if dry_run:
        click.echo(config.model_dump_json(indent=1))
        return
    resume(path, changes)


def _find_newest_run(outdir: Path) -> Path:
    runs = (
        sorted(path for path in outdir.glob("[0-9]*-*") if (path / "config.json").is_file()) if outdir.is_dir() else []
    )
    if not runs:
        raise CheckpointError(f"{outdir}: no run to resume; name one with --resume, or another --outdir")
    return runs[-1]

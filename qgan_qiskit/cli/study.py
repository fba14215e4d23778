"""``study``: experiments of many runs. This file has the studies of trained generators and of circuits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qgan_qiskit.cli.options import collect_changes, config_options, option_name, settings_options
from qgan_qiskit.cli.study_augment import command as augment
from qgan_qiskit.cli.study_compare import command as compare
from qgan_qiskit.cli.study_options import StudyRun, command_line, show_files, study_options, validate
from qgan_qiskit.config import EvaluationConfig, HybridQConfig
from qgan_qiskit.config.studies import CircuitsChoice, CircuitsConfig, GeometryConfig, NoiseChoice, NoiseConfig
from qgan_qiskit.errors import UsageError

# The run itself says the rest about its real images.
_DATA_LEFT_OUT = ("class_name", "augment", "resolution", "color")
# The geometry study only needs to know which Inception network reads images.
_EVALUATION_LEFT_OUT = tuple(
    n for n in EvaluationConfig.model_fields if n not in ("fid_weights", "feature_layer", "resize")
)
_RUN = click.Path(path_type=Path, exists=True, file_okay=False)
_CIRCUIT = HybridQConfig.model_fields


class _OrderedGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_OrderedGroup)
def command() -> None:
    """Experiments of many runs, with a report."""


@command.command()
@click.argument("source", metavar="[RUN]", type=_RUN, required=False)
@settings_options("choice", NoiseChoice)
@settings_options("noise", NoiseConfig, exclude=("evaluation",))
@study_options(Path("studies/noise"))
@config_options("evaluation", exclude=("metrics_every", "metrics_number", "metrics"))
@config_options("data", exclude=_DATA_LEFT_OUT)
@click.option(
    "--metrics",
    default="fid",
    show_default=True,
    metavar="LIST",
    help="What to measure: some of fid, kid, is, ssim, ms-ssim, prdc.",
)
def noise(source: Path | None, metrics: str, run: StudyRun, **options: Any) -> None:
    """Measure what noise and mitigation do to generated images.

    The circuits of RUN run with few and many shots and under the noise of devices, for the same seeds. Images are compared with
    the run's real images and with the exact images; the errors of the circuits' expectations stand beside them. Finished
    conditions are kept: the same command resumes after a stop, and more shots, devices or levels extend the study. At the end,
    and with --report at any time, table.md, table.csv, results.json, noise.png and samples.png are written.
    """
    if not run.report_only and source is None:
        raise UsageError("name the RUN whose circuits are to be studied (or --report)")
    changes = collect_changes(options)
    choice = validate(NoiseChoice, changes.get("choice", {}))
    evaluation = {**changes.get("evaluation", {}), "metrics": metrics}
    settings = validate(NoiseConfig, {**changes.get("noise", {}), "evaluation": evaluation})
    from qgan_qiskit.study import noise as study

    if run.report_only:
        show_files(study.report(run.outdir))
        return
    assert source is not None
    run.finish(*study.prepare(source, settings, choice, changes.get("data", {}), run.outdir, command_line()), study.run)


@command.command()
@click.argument("runs", metavar="RUN...", type=_RUN, nargs=-1)
@settings_options("geometry", GeometryConfig, exclude=("evaluation",))
@study_options(Path("studies/geometry"))
@config_options("evaluation", exclude=_EVALUATION_LEFT_OUT)
def geometry(runs: tuple[Path, ...], run: StudyRun, **options: Any) -> None:
    """Analyze in how many directions generated images vary.

    RUNs are run folders or checkpoints, quantum or not, shown side by side. Measured are the singular values of the Jacobians
    from latent to image and to features, the spread of the features over many latents, the path length between latents, and
    the fidelity of the circuits' states for two latents. Finished runs are kept: the same command resumes after a stop, and
    more runs extend the study. At the end, and with --report at any time, table.md, table.csv, results.json, geometry.png and
    interpolations.png are written.
    """
    if not run.report_only and not runs:
        raise UsageError("name the RUN whose generator is to be analyzed, or several (or --report)")
    changes = collect_changes(options)
    values = {**changes.get("geometry", {}), "evaluation": changes.get("evaluation", {})}
    settings = validate(GeometryConfig, values)
    from qgan_qiskit.study import latent_geometry as study

    if run.report_only:
        show_files(study.report(run.outdir))
    else:
        run.finish(*study.prepare(runs, settings, run.outdir, command_line()), study.run)


@command.command()
@settings_options("choice", CircuitsChoice)
@click.option(
    "--ansatz",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="OpenQASM 3 file of your own circuit instead of the built-in family; may be given again. [default: none]",
)
@click.option("--input-names", metavar="PATTERN", help=str(_CIRCUIT["input_names"].description))
@click.option("--weight-names", metavar="PATTERN", help=str(_CIRCUIT["weight_names"].description))
@settings_options("circuits", CircuitsConfig)
@study_options(Path("studies/circuits"))
def circuits(
    files: tuple[Path, ...], input_names: str | None, weight_names: str | None, run: StudyRun, **options: Any
) -> None:
    """Measure expressibility, entanglement, gradient variance.

    Circuits are measured before training, with random angles. The built-in family is HybridQ's circuit, one for each number
    of qubits and of repetitions. Finished circuits are kept: the same command resumes after a stop, and more sizes or files
    extend the study. At the end, and with --report at any time, table.md, table.csv, results.json and circuits.png are
    written.
    """
    changes = collect_changes(options)
    chosen = changes.get("choice", {})
    if files and chosen:
        raise UsageError(f"--ansatz brings the whole circuit: leave {', '.join(map(option_name, chosen))} out")
    if not files and (input_names is not None or weight_names is not None):
        raise UsageError("--input-names and --weight-names name parameters of files: give --ansatz too")
    choice = validate(CircuitsChoice, chosen)
    settings = validate(CircuitsConfig, changes.get("circuits", {}))
    from qgan_qiskit.circuits import ParameterNames
    from qgan_qiskit.study import circuits as study

    if run.report_only:
        show_files(study.report(run.outdir))
        return
    names = ParameterNames(input_names, weight_names)
    run.finish(*study.prepare(files, choice, settings, run.outdir, command_line(), names), study.run)


command.commands = {"compare": compare, **command.commands, "augment": augment}

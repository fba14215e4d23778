"""``study augment``: do generated images help a classifier that has few real ones?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qgan_qiskit.cli.generate import parse_seeds
from qgan_qiskit.cli.options import collect_changes, config_options, settings_options
from qgan_qiskit.cli.study_options import StudyRun, show_files, study_options, validate
from qgan_qiskit.config import DataConfig
from qgan_qiskit.config.studies import AugmentConfig


@click.command()
@click.option(
    "--generator",
    "generators",
    multiple=True,
    metavar="NAME=RUN,RUN,…",
    help="Whose images: a name, and run folders or checkpoints, at least one of every class; several of a class take turns "
    "over the seeds. May be given several times. [default: those of the study in --outdir]",
)
@click.option(
    "--class", "classes", default=None, metavar="LIST", help="Classes to tell apart, such as MEL,NV,BCC. [default: all]"
)
@settings_options("augment", AugmentConfig)
@study_options(Path("studies/augment"))
@config_options("data", exclude=("class_name", "split", "augment"))
def command(generators: tuple[str, ...], classes: str | None, run: StudyRun, **options: Any) -> None:
    """Measure whether generated images help a classifier.

    Every classifier trains on few real images, --real-share of the train split: as they are (none), with small classes
    repeated (oversample), with standard geometric augmentation (traditional), or with a fraction alpha of generated images.
    Alpha is chosen on the validation split, and all are tested on the test split. Runs must be trained with fit --split train
    and the same fractions and split seed. Finished cells are kept: the same command resumes after a stop, and more seeds,
    alphas or generators extend the study. At the end, and with --report at any time, table.md, table.csv, results.json and
    curve.png are written.
    """
    if run.report_only:
        from qgan_qiskit.study.augment.cells import report

        show_files(report(run.outdir))
        return
    changes = collect_changes(options)
    if "seeds" in (asked := changes.get("augment", {})):
        # Ranges are for the command line; study.json names every seed.
        asked["seeds"] = ",".join(str(seed) for seed in parse_seeds(asked["seeds"]))
    # Before torch is imported, which takes longer than refusing an option.
    _settings(DataConfig(), AugmentConfig(), changes)
    from qgan_qiskit.study.augment import cells
    from qgan_qiskit.study.augment.plan import AugmentStudy

    present = AugmentStudy.read(run.outdir)
    base = (DataConfig(), AugmentConfig()) if present is None else (present.data, present.settings)
    if classes is None and present is not None:
        classes = ",".join(present.classes)
    plan = cells.prepare(*_settings(*base, changes), classes, generators, run.outdir)
    run.finish(plan, plan.first_cells(), lambda plan, _cells, executor: cells.run(plan, executor))


def _settings(
    data: DataConfig, augment: AugmentConfig, changes: dict[str, dict[str, Any]]
) -> tuple[DataConfig, AugmentConfig]:
    """Return settings with the options that were given."""
    return (
        validate(DataConfig, {**data.model_dump(), **changes.get("data", {})}),
        validate(AugmentConfig, {**augment.model_dump(), **changes.get("augment", {})}),
    )

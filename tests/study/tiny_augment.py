"""An augmentation study that takes seconds: GANs of six steps on synthetic lesions of 16 x 16, and a classifier of two blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiny_runs import DCGAN

from qgan_qiskit.config import RunConfig
from qgan_qiskit.workflows.fit import fit

CLASSES = ("nevus", "melanoma")
DIVISION = {"validation_fraction": 0.2, "test_fraction": 0.3, "split_seed": 4}
DATA = {"synthetic_per_class": 60, "split": "train", **DIVISION}


def train_runs(tiny: Callable[..., RunConfig], folder: Path, seed: int = 0, **data: object) -> list[Path]:
    """Train a GAN of each class; the settings of the data may be changed."""
    training = {"steps": 2, "seed": seed, "threads": 1}
    return [
        fit(tiny(model=DCGAN, data={**DATA, "class_name": name, **data}, training=training), folder)[0]
        for name in CLASSES
    ]


def options(cache: Path, outdir: Path, **more: object) -> list[str]:
    """Return options of a study of these runs; None leaves one out."""
    values = {
        "class": ",".join(CLASSES),
        "backbone": "mobilenet_v2",
        "resolution": 16,
        "synthetic-per-class": 60,
        **{name.replace("_", "-"): value for name, value in DIVISION.items()},
        "real-share": 0.5,
        "alphas": "0.3,0.6",
        "seeds": "0,1",
        "steps": 4,
        "batch-size": 8,
        "bootstrap": 100,
        "threads": 1,
        "cache-dir": cache,
        "outdir": outdir,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]

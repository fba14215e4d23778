"""Settings of runs that take a second, and what two runs must have in common to count as equal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from qgan_qiskit.config import RunConfig

# Everything that the command line's default preset sets otherwise than the settings' own defaults is among the settings below.
MODEL = {
    "sub_generators": 2,
    "num_qubits": 3,
    "reps": 2,
    "decoder": "upsample",
    "decoder_width": 16,
    "discriminator_width": 8,
    "minibatch_std": False,
}
DCGAN = {"name": "dcgan", "latent_size": 8, "generator_width": 8, "discriminator_width": 8}
MEDIQ = {
    "name": "mediq",
    "latent_size": 6,
    "sub_generators": 3,
    "num_qubits": 3,
    "reps": 2,
    "prototype_width": 10,
    "critic_width": 8,
}
DATA = {"resolution": 16, "synthetic_per_class": 32, "class_name": "nevus"}
TRAINING = {
    "batch_size": 8,
    "lr_classical": 5e-4,
    "lr_discriminator": 2e-4,
    "lr_decay_from": 1.0,
    "steps": 6,
    "snap": 2,
    "grid_every": 3,
    "log_every": 1,
    "precision": "fp32",
}


def tiny_config(
    cache: Path, model: dict | None = None, data: dict | None = None, training: dict | None = None
) -> RunConfig:
    """Return a checked configuration; the arguments are changes of the sections above."""
    model = model or {}
    return RunConfig.model_validate(
        {
            "model": {**({} if model.get("name") in ("dcgan", "mediq") else {"name": "hybridq", **MODEL}), **model},
            "data": {**DATA, "cache_dir": str(cache), **(data or {})},
            "training": {**TRAINING, **(training or {})},
        }
    )


def options_of_tiny(cache: Path) -> list[str]:
    """Return the same as options of ``fit``."""
    fields = {**MODEL, **DATA, **TRAINING, "cache_dir": cache}
    fields["class"] = fields.pop("class_name")
    options: list[str] = []
    for name, value in fields.items():
        option = name.replace("_", "-")
        options += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
    return options


def without(options: list[str], *names: str) -> list[str]:
    """Return options without those of some names, and without their values."""
    places = {options.index(name) for name in names}
    return [part for place, part in enumerate(options) if not {place, place - 1} & places]


def fingerprint(run: Path) -> dict[str, object]:
    """Return everything that a run which was cut and resumed must share with one that was not.

    SHA-256 of every file of its newest checkpoint and of every picture, its settings, and its log without the speed.
    """
    newest = max((run / "checkpoints").glob("step-*"))
    files = [*newest.iterdir(), *run.glob("*.png"), run / "data.json"]
    found: dict[str, object] = {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    found["config.json"] = json.loads((run / "config.json").read_text())
    rows = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    found["stats"] = [{key: value for key, value in row.items() if key != "images_per_second"} for row in rows]
    return found


def leftovers(run: Path) -> list[Path]:
    """Return the files and folders that an interrupted write left in a run."""
    return [path for path in run.rglob("*") if ".staging" in path.name]

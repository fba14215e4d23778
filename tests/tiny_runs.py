"""Settings of runs that take a second, and what two runs must have in common to count as equal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from qgan_qiskit.config import RunConfig

MODEL = {"sub_generators": 2, "num_qubits": 3, "reps": 2, "decoder_width": 16, "discriminator_width": 8}
DCGAN = {"name": "dcgan", "latent_size": 8, "generator_width": 8, "discriminator_width": 8}
DATA = {"resolution": 16, "made_per_class": 32, "class_name": "nevus"}
TRAINING = {"batch_size": 8, "steps": 6, "snap": 2, "grid_every": 3, "log_every": 1, "precision": "fp32"}


def tiny_config(
    cache: Path, model: dict | None = None, data: dict | None = None, training: dict | None = None
) -> RunConfig:
    """Return a checked configuration; the arguments are changes of the sections above."""
    model = model or {}
    return RunConfig.model_validate(
        {
            "model": {**({} if model.get("name") == "dcgan" else {"name": "hybridq", **MODEL}), **model},
            "data": {**DATA, "cache_dir": str(cache), **(data or {})},
            "training": {**TRAINING, **(training or {})},
        }
    )


def options_of_tiny(cache: Path) -> list[str]:
    """Return the same as options of ``fit``."""
    fields = {**MODEL, **DATA, **TRAINING, "cache_dir": cache}
    fields["class"] = fields.pop("class_name")
    return [part for name, value in fields.items() for part in (f"--{name.replace('_', '-')}", str(value))]


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

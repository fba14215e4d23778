"""Checkpoints: a folder of safetensors and JSON that appears whole or not at all.

A manifest with the size and SHA-256 of every file is written last; a folder that does not match its manifest is not a
checkpoint. Older checkpoints are removed only after a new one is on the disk. Loading never runs code from a file.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.storage import atomic_folder, manifest, remove_staging, sha256, sync_folder

FORMAT = 1
_PREFIX = "step-"
_MANIFEST = "manifest.json"
# What a manifest may name: a file of ours, in the checkpoint's own folder.
_FILE = re.compile(r"[a-z_]{1,60}\.(safetensors|json)")
Tensors = dict[str, Tensor]


def save(folder: Path, step: int, tensors: dict[str, Tensors], values: dict[str, Any], keep: int) -> Path:
    """Publish a checkpoint and remove all but the newest ones.

    Checkpoints of later steps are removed too: a run that saves an earlier step has skipped them as damaged.

    Args:
        folder: the ``checkpoints`` folder of a run; made if missing.
        step: steps done.
        tensors: file name without suffix -> named tensors.
        values: JSON-able rest, written to ``state.json`` with the step.
        keep: number of newest checkpoints left, this one included.

    Returns:
        The folder of the checkpoint.

    Raises:
        StorageError: the disk refused a write; earlier checkpoints are whole.
    """
    target = folder / f"{_PREFIX}{step:08d}"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync_folder(folder.parent)
        remove_staging(folder)
        # A checkpoint of this step that is there was damaged, and skipped on resuming.
        with atomic_folder(target, replace=True) as staging:
            for name, members in tensors.items():
                # safetensors refuses the channels-last layout; loading copies into the layout in use.
                data = safetensors.torch.save({key: value.cpu().contiguous() for key, value in members.items()})
                _write(staging / f"{name}.safetensors", data)
            _write(staging / "state.json", _to_json(values | {"step": step}))
            content = {"format": FORMAT, "step": step, "files": manifest(staging)}
            _write(staging / _MANIFEST, _to_json(content))
    except OSError as error:
        reason = "no space left on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or error
        raise StorageError(f"{target}: checkpoint not written, {reason}; earlier checkpoints are whole") from None
    _remove_old(folder, target, keep)
    return target


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _to_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()


def _remove_old(folder: Path, newest: Path, keep: int) -> None:
    checkpoints = published(folder)
    kept = [path for path in checkpoints if path <= newest][-keep:]
    for path in checkpoints:
        if path not in kept:
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise StorageError(
                    f"{path}: an old checkpoint cannot be removed ({error.strerror or error}); {newest} is whole"
                ) from None


def published(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first, by name only: they may be damaged."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.name[len(_PREFIX) :].isdigit() and path.is_dir())


def load(checkpoint: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Read a checkpoint and check every byte against its manifest.

    Returns:
        Named tensors by file name without suffix, and the values of ``state.json``.

    Raises:
        CheckpointError: the folder is not a checkpoint, is damaged, or was written by a newer version.
    """
    step, files = _read_manifest(checkpoint)
    tensors: dict[str, Tensors] = {}
    values: dict[str, Any] = {}
    for name, entry in files.items():
        path = checkpoint / name
        try:
            # Checked before opening: reading a device or a pipe would never end.
            data = path.read_bytes() if path.is_file() and path.stat().st_size == entry["bytes"] else None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); use an older checkpoint") from None
        if data is None:
            raise CheckpointError(f"{path}: missing, or not of the size in the manifest; use an older checkpoint")
        if sha256(data) != entry["sha256"]:
            raise CheckpointError(f"{path}: damaged (its SHA-256 differs from the manifest); use an older checkpoint")
        try:
            if path.suffix == ".safetensors":
                tensors[path.stem] = safetensors.torch.load(data)
            elif name == "state.json":
                values = json.loads(data)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            # A forged file that matches the manifest: unknown number format, JSON nested too deep, …
            raise CheckpointError(f"{path}: not readable ({error}); use an older checkpoint") from None
    if not isinstance(values, dict) or values.get("step") != step:
        raise CheckpointError(
            f"{checkpoint / _MANIFEST}: its step differs from that of state.json; use an older checkpoint"
        )
    return tensors, values


def read_digest(checkpoint: Path, name: str) -> str:
    """Return the SHA-256 that a checkpoint's manifest states for a file of tensors, such as ``ema``.

    Raises:
        CheckpointError: the manifest is missing or damaged, or has no such file.
    """
    _, files = _read_manifest(checkpoint)
    if f"{name}.safetensors" not in files:
        raise CheckpointError(f"{checkpoint}: it has no {name}.safetensors; use another one")
    return str(files[f"{name}.safetensors"]["sha256"])


def require_file(tensors: dict[str, Tensors], name: str) -> Tensors:
    """Return the tensors of one file of a loaded checkpoint.

    Raises:
        CheckpointError: the checkpoint has no such file.
    """
    if name not in tensors:
        raise CheckpointError(f"the checkpoint has no {name}.safetensors; use another one")
    return tensors[name]


def load_newest(folder: Path) -> tuple[Path, dict[str, Tensors], dict[str, Any], list[str]]:
    """Read the newest whole checkpoint of a folder.

    Returns:
        Its path, tensors and values, and one line for each damaged one that was skipped.

    Raises:
        CheckpointError: there is no whole checkpoint.
    """
    problems: list[str] = []
    for checkpoint in reversed(published(folder)):
        try:
            tensors, values = load(checkpoint)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        return checkpoint, tensors, values, problems
    reason = f": {problems[0]}" if problems else ""
    raise CheckpointError(f"{folder}: no whole checkpoint{reason}; start a new run or name another one")


def _read_manifest(checkpoint: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the step, and size and SHA-256 by file name."""
    path = checkpoint / _MANIFEST
    try:
        content = json.loads(path.read_bytes())
        version, step, files = content["format"], int(content["step"]), content["files"]
        checked = {str(name): {"bytes": int(e["bytes"]), "sha256": str(e["sha256"])} for name, e in files.items()}
    except OSError:
        raise CheckpointError(
            f"{checkpoint}: not a checkpoint (it has no {_MANIFEST}); name a run or a checkpoint in it"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CheckpointError(f"{path}: damaged; use an older checkpoint") from None
    if version != FORMAT:
        raise CheckpointError(
            f"{path}: format {version}, this version reads {FORMAT}; install the version that wrote it"
        )
    for name in checked:
        if not _FILE.fullmatch(name):
            raise CheckpointError(f"{path}: names {name!r}, which is not a file of a checkpoint; do not use it")
    return step, checked


def module_tensors(module: nn.Module) -> Tensors:
    """Return the parameters and buffers of a module by name, each once."""
    # TorchConnector registers its weights twice; named_parameters lists a tensor once.
    return {n: p.detach() for n, p in module.named_parameters()} | {n: b.detach() for n, b in module.named_buffers()}


def load_module(module: nn.Module, tensors: Tensors, file: str) -> None:
    """Copy saved tensors into a module.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of another shape, or not finite.
    """
    copy_tensors(module_tensors(module), tensors, file)


def copy_tensors(targets: Tensors, sources: Tensors, file: str) -> None:
    """Copy saved tensors into existing ones of the same names.

    Raises:
        CheckpointError: a tensor is missing, unexpected, of another shape, or not finite.
    """
    if set(targets) != set(sources):
        different = sorted(set(targets) ^ set(sources))
        raise CheckpointError(
            f"{file}.safetensors does not fit the model: {len(different)} tensors differ, such as '{different[0]}'; "
            "was the model changed since the run started?"
        )
    with torch.no_grad():
        for name, target in targets.items():
            source = sources[name]
            if source.shape != target.shape or source.dtype != target.dtype:
                raise CheckpointError(
                    f"{file}.safetensors: '{name}' is {source.dtype} {tuple(source.shape)}, the model has "
                    f"{target.dtype} {tuple(target.shape)}; was the model changed since the run started?"
                )
            if source.is_floating_point() and not source.isfinite().all():
                raise CheckpointError(
                    f"{file}.safetensors: '{name}' holds values that are not finite; use an older checkpoint"
                )
            target.copy_(source)

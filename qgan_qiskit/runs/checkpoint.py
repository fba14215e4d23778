"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all.

A save stages its files in a hidden folder, syncs each, writes the manifest (sizes and SHA-256) last, renames the folder and
syncs the parent; other checkpoints go only after that. A folder without a manifest that fits it is not a checkpoint. Nothing
that is loaded can run code.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from qgan_qiskit.errors import CheckpointError, StorageError

FORMAT = 1
_PREFIX = "step-"
_STAGING = ".staging-"
_MANIFEST = "manifest.json"
# What a manifest may name: a file of ours, in the checkpoint's own folder.
_FILE = re.compile(r"[a-z_]{1,60}\.(safetensors|json)")


def save(folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], values: dict[str, Any], keep: int) -> Path:
    """Publish a checkpoint and remove all but the newest ones.

    Checkpoints of later steps go too: a run that saves an earlier step has passed over them as damaged.

    Args:
        folder: the ``checkpoints`` folder of a run; made if missing.
        step: steps done.
        tensors: file name without suffix -> named tensors.
        values: JSON-able rest, written to ``state.json`` with the step.
        keep: number of newest checkpoints left, this one included.

    Returns:
        The folder of the checkpoint.

    Raises:
        StorageError: the disk refused; what was published before is whole.
    """
    target = folder / f"{_PREFIX}{step:08d}"
    staging = folder / f"{_STAGING}{target.name}"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            _sync_folder(folder.parent)
        clean(folder)
        staging.mkdir()
        for name, members in tensors.items():
            # contiguous(): safetensors refuses the channels-last layout; loading copies into the layout in use.
            data = safetensors.torch.save({key: value.cpu().contiguous() for key, value in members.items()})
            _write(staging / f"{name}.safetensors", data)
        _write(staging / "state.json", json.dumps(values | {"step": step}, indent=1).encode())
        manifest = {path.name: _entry(path) for path in sorted(staging.iterdir())}
        _write(staging / _MANIFEST, json.dumps({"format": FORMAT, "step": step, "files": manifest}, indent=1).encode())
        _sync_folder(staging)
        if target.exists():
            # The same step again, after a resume: what is there may be the damaged one that was passed over.
            shutil.rmtree(target)
        staging.rename(target)
        _sync_folder(folder)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        reason = "no space left on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or error
        raise StorageError(f"{target}: checkpoint not written, {reason}; earlier checkpoints are whole") from None
    _remove_all_but(folder, target, keep)
    return target


def _remove_all_but(folder: Path, newest: Path, keep: int) -> None:
    present = published(folder)
    kept = [path for path in present if path <= newest][-keep:]
    for path in present:
        if path not in kept:
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise StorageError(
                    f"{path}: an old checkpoint cannot be removed ({error.strerror or error}); {newest} is whole"
                ) from None


def clean(folder: Path) -> None:
    """Remove what interrupted saves left behind."""
    for path in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(path, ignore_errors=True)


def published(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first, checked by name only."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob(f"{_PREFIX}*") if path.name[len(_PREFIX) :].isdigit() and path.is_dir())


def load(checkpoint: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Read a checkpoint, every byte checked against its manifest.

    Returns:
        dict[str, Tensor] by file name without suffix, and the values of ``state.json``.

    Raises:
        CheckpointError: the folder is not a checkpoint, is damaged, or was written by a newer version.
    """
    step, manifest = _manifest(checkpoint)
    tensors: dict[str, dict[str, Tensor]] = {}
    values: dict[str, Any] = {}
    for name, entry in manifest.items():
        path = checkpoint / name
        try:
            # Looked at before it is opened: a device or a pipe in place of a file would be read for ever.
            data = path.read_bytes() if path.is_file() and path.stat().st_size == entry["bytes"] else None
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); use an older checkpoint") from None
        if data is None:
            raise CheckpointError(f"{path}: missing or of another size than in the manifest; use an older checkpoint")
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise CheckpointError(f"{path}: damaged (its SHA-256 is not that of the manifest); use an older checkpoint")
        try:
            if path.suffix == ".safetensors":
                tensors[path.stem] = safetensors.torch.load(data)
            elif name == "state.json":
                values = json.loads(data)
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            # Files that somebody made to fit the manifest: an unknown number format, JSON nested too deep, …
            raise CheckpointError(f"{path}: not readable ({error}); use an older checkpoint") from None
    if not isinstance(values, dict) or values.get("step") != step:
        raise CheckpointError(f"{checkpoint / _MANIFEST}: its step is not that of state.json; use an older checkpoint")
    return tensors, values


def digest_of(checkpoint: Path, name: str) -> str:
    """Return the SHA-256 that a checkpoint's manifest has of a file of tensors, such as ``ema``.

    Raises:
        CheckpointError: the manifest is missing or damaged, or has no such file.
    """
    _, files = _manifest(checkpoint)
    if f"{name}.safetensors" not in files:
        raise CheckpointError(f"{checkpoint}: it has no {name}.safetensors; use another one")
    return str(files[f"{name}.safetensors"]["sha256"])


def part(tensors: dict[str, dict[str, Tensor]], name: str) -> dict[str, Tensor]:
    """Return the tensors of one file of a checkpoint.

    Raises:
        CheckpointError: the checkpoint has no such file.
    """
    if name not in tensors:
        raise CheckpointError(f"the checkpoint has no {name}.safetensors; use another one")
    return tensors[name]


def load_newest(folder: Path) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
    """Read the newest whole checkpoint of a folder.

    Returns:
        Its path, tensors and values, and one line for each damaged one that was passed over.

    Raises:
        CheckpointError: there is no whole checkpoint.
    """
    complaints: list[str] = []
    for checkpoint in reversed(published(folder)):
        try:
            tensors, values = load(checkpoint)
        except CheckpointError as error:
            complaints.append(str(error))
            continue
        return checkpoint, tensors, values, complaints
    reason = f": {complaints[0]}" if complaints else ""
    raise CheckpointError(f"{folder}: no whole checkpoint{reason}; start the run anew or name another one")


def _manifest(checkpoint: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the step and, by file name, size and SHA-256."""
    path = checkpoint / _MANIFEST
    try:
        content = json.loads(path.read_bytes())
        version, step, files = content["format"], content["step"], content["files"]
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
            raise CheckpointError(f"{path}: names {name!r}, which is no file of a checkpoint; do not use it")
    return step, checked


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":
        # Windows opens no folders; its file system keeps a journal of names.
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module by name, each once."""
    # named_parameters lists a tensor that is registered twice (TorchConnector does so) once.
    return {n: p.detach() for n, p in module.named_parameters()} | {n: b.detach() for n, b in module.named_buffers()}


def load_module(module: nn.Module, tensors: dict[str, Tensor], file: str) -> None:
    """Copy saved tensors into a module.

    Raises:
        CheckpointError: a tensor is missing, left over, of another shape, or not finite.
    """
    copy_tensors(module_tensors(module), tensors, file)


def copy_tensors(targets: dict[str, Tensor], sources: dict[str, Tensor], file: str) -> None:
    """Copy saved tensors into others of the same names.

    Raises:
        CheckpointError: a tensor is missing, left over, of another shape, or not finite.
    """
    if set(targets) != set(sources):
        odd = sorted(set(targets) ^ set(sources))
        raise CheckpointError(
            f"{file}.safetensors does not fit the model: {len(odd)} tensors differ, such as '{odd[0]}'; "
            "was the model changed after the run began?"
        )
    with torch.no_grad():
        for name, target in targets.items():
            source = sources[name]
            if source.shape != target.shape or source.dtype != target.dtype:
                raise CheckpointError(
                    f"{file}.safetensors: '{name}' is {source.dtype} {tuple(source.shape)}, the model has "
                    f"{target.dtype} {tuple(target.shape)}; was the model changed after the run began?"
                )
            if source.is_floating_point() and not source.isfinite().all():
                raise CheckpointError(
                    f"{file}.safetensors: '{name}' holds values that are not finite; use an older checkpoint"
                )
            target.copy_(source)

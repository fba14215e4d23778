"""The only assembler: a configuration becomes data, networks and a run folder, and a run becomes images.

Shape letters: B batch · N images · Z latent size · C H W image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qgan_qiskit.circuits import ansatz_to_qasm
from qgan_qiskit.circuits.card import card_of, card_text
from qgan_qiskit.config import HybridQConfig, RunConfig
from qgan_qiskit.data import Batches, ImageSet, class_names, read_images
from qgan_qiskit.errors import CheckpointError, UsageError
from qgan_qiskit.models import Generator, ansatz_of, build, parameter_count
from qgan_qiskit.training import checkpoint
from qgan_qiskit.training.compute import check_device, keep_freed_memory, place
from qgan_qiskit.training.loop import train
from qgan_qiskit.training.randomness import seeded
from qgan_qiskit.training.run_folder import RunFolder
from qgan_qiskit.training.state import TrainingState, load_module

Say = Callable[[str], None]

# Images are generated in blocks of neighbouring seeds, always whole: the same seed meets the same arithmetic, whichever
# other seeds are asked for, and so gives the same bytes.
_BLOCK = 32


def classes_to_train(config: RunConfig) -> tuple[str, ...]:
    """Return the classes that a configuration trains on, one GAN each, without decoding images."""
    names = class_names(config.data)
    wanted = config.data.class_name
    return names if wanted in (None, "all") else (wanted,)


def fit(config: RunConfig, outdir: Path, say: Say = print) -> list[Path]:
    """Train one GAN per class, in turn.

    Args:
        config: all settings.
        outdir: where the numbered run folders go.
        say: receives lines for a person.

    Returns:
        The run folders.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    device = check_device(config.training.device)
    runs = []
    for name in classes_to_train(config):
        one = config.updated({"data": {"class_name": name}})
        images = _images(one, say)
        batches = Batches(images, one.training.batch_size, one.training.seed, one.data.augment)
        run = RunFolder.create(outdir, one, name)
        with run:
            _write_circuit(run, one)
            run.write_text("data.json", json.dumps(_data_summary(images), indent=1) + "\n")
            _train(run, run.config(), images, batches, device, say)
        runs.append(run.path)
    return runs


def resume(path: Path, changes: dict[str, dict[str, Any]], say: Say = print) -> Path:
    """Go on with a run from its newest whole checkpoint, bit for bit as if it had not stopped.

    Args:
        path: the run folder.
        changes: settings of the ``training`` section that may differ: how long, and how often to log, draw and save.
        say: receives lines for a person.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    run = RunFolder.open(path)
    with run:
        config = run.config().updated(changes)
        device = check_device(config.training.device)
        images = _images(config, say)
        batches = Batches(images, config.training.batch_size, config.training.seed, config.data.augment)
        _train(run, config, images, batches, device, say)
    return path


def _images(config: RunConfig, say: Say) -> ImageSet:
    images = read_images(config.data, config.training.seed)
    if config.data.class_name is not None:
        images = images.select(config.data.class_name)
    for note in images.notes:
        say(f"note: {note}")
    return images


def _data_summary(images: ImageSet) -> dict[str, Any]:
    return {"counts": images.counts(), "digest": images.digest, "notes": list(images.notes)}


def _write_circuit(run: RunFolder, config: RunConfig) -> None:
    """Keep the sub-generator's circuit beside the weights; a user's own file may change or go."""
    if not isinstance(config.model, HybridQConfig):
        return
    ansatz = ansatz_of(config.model)
    run.write_text("circuit.qasm", ansatz_to_qasm(ansatz))
    run.write_text("circuit.json", card_text(card_of(ansatz)))
    if config.model.ansatz is not None:
        kept = config.updated({"model": {"ansatz": "circuit.qasm"}})
        run.write_text("config.json", kept.model_dump_json(indent=1) + "\n")


def _train(
    run: RunFolder, config: RunConfig, images: ImageSet, batches: Batches, device: torch.device, say: Say
) -> None:
    keep_freed_memory()
    training = config.training
    generator, discriminator = build(config.model, config.data.resolution, seeded(training.seed, "weights"))
    place(generator, device)
    place(discriminator, device)
    state = TrainingState.create(config, generator, discriminator)
    steps = training.steps or training.epochs * batches.steps_per_epoch
    threads = training.threads or torch.get_num_threads()
    say(
        f"{run.path}: {config.model.name}, preset {config.preset}, class {', '.join(images.classes)}: {len(images)} images, "
        f"{parameter_count(generator, discriminator):,} parameters "
        f"({sum(p.numel() for p in generator.quantum_parameters()):,} quantum), {steps} steps of {training.batch_size}"
    )
    if checkpoint.published(run.checkpoints):
        path, tensors, values, complaints = checkpoint.load_newest(run.checkpoints)
        for complaint in complaints:
            say(f"note: passed over {complaint}")
        if values["data_digest"] != images.digest:
            raise CheckpointError(
                f"{run.path}: the images are not those the run began with; bring them back, or start a new run"
            )
        state.load(tensors, values)
        threads = training.threads or int(values["threads"])
        say(f"resuming {path.name}")
        if state.step >= steps:
            say(f"nothing to do: {state.step} of {steps} steps are done; ask for more with --steps or --epochs")
            return
    # Sums are split over threads, so their number is part of what makes a rerun exact.
    torch.set_num_threads(threads)
    run.cut_stats(state.step)
    train(run, config, state, batches.batch, steps, {"data_digest": images.digest, "threads": threads}, device)
    say(f"done: {run.path}")


def open_generator(source: Path, say: Say = print) -> tuple[Generator, RunConfig]:
    """Return the averaged generator of a run (its newest whole checkpoint) or of one checkpoint, ready to generate.

    Args:
        source: a run folder, or a folder ``checkpoints/step-NNNNNNNN`` in one.
        say: receives lines for a person.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    is_checkpoint = source.parent.name == "checkpoints"
    run = RunFolder.open(source.parent.parent if is_checkpoint else source)
    config = run.config()
    if is_checkpoint:
        tensors, _ = checkpoint.load(source)
    else:
        _, tensors, _, complaints = checkpoint.load_newest(run.checkpoints)
        for complaint in complaints:
            say(f"note: passed over {complaint}")
    generator, _ = build(config.model, config.data.resolution, seeded(config.training.seed, "weights"))
    place(generator, torch.device("cpu"))
    load_module(generator, tensors["ema"], "ema")
    return generator.eval(), config


def latents(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """Return one latent vector per seed, shape (N, Z), each a function of its seed alone."""
    return torch.cat([generator.sample_latent(1, seeded(seed, "generate")) for seed in seeds])


@torch.no_grad()
def generate(generator: Generator, seeds: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield (seed, image (C, H, W) in [-1, 1]) in the order asked for; a seed always gives the same image.

    Raises:
        UsageError: a seed is negative.
    """
    if any(seed < 0 for seed in seeds):
        raise UsageError(f"seed {min(seeds)}: seeds start at 0")
    block, images = -1, None
    for seed in seeds:
        if images is None or seed // _BLOCK != block:
            block = seed // _BLOCK
            images = generator(latents(generator, range(block * _BLOCK, (block + 1) * _BLOCK)))
        yield seed, images[seed % _BLOCK]


@torch.no_grad()
def interpolate(generator: Generator, seeds: Sequence[int], frames: int) -> Tensor:
    """Return images along straight lines between the latents of neighbouring seeds, shape (N, C, H, W).

    Args:
        generator: from :func:`open_generator`.
        seeds: at least two.
        frames: images from one seed up to, not including, the next; the last seed closes the row.
    """
    ends_NZ = latents(generator, seeds)
    weights = torch.linspace(0, 1, frames + 1)[:-1]
    path = [torch.lerp(a, b, float(w)) for a, b in zip(ends_NZ[:-1], ends_NZ[1:], strict=True) for w in weights]
    path.append(ends_NZ[-1])
    return torch.cat([generator(part) for part in torch.stack(path).split(_BLOCK)])

"""The only assembler: a configuration becomes data, networks and a run folder, and a run becomes images.

Shape letters: B batch · N images · Z latent size · C H W image.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch

from qgan_qiskit.circuits import (
    CircuitSpec,
    circuit_digest,
    circuit_metadata,
    circuit_spec_to_qasm,
    exporter_note,
    metadata_text,
)
from qgan_qiskit.config import RESUMABLE, DataConfig, RunConfig
from qgan_qiskit.config.base import expanded
from qgan_qiskit.console import log_to_stderr, logs_to_stderr
from qgan_qiskit.data import (
    Batches,
    ImageSet,
    absolute_source,
    absolute_table,
    cache_folder,
    class_names,
    read_images,
    resolve_split,
    summarize_images,
    summary_line,
)
from qgan_qiskit.device import check_device, keep_freed_memory, to_device
from qgan_qiskit.errors import CheckpointError, DataError, QganError, UsageError
from qgan_qiskit.metrics import Evaluator
from qgan_qiskit.models import Generator, build_circuit_spec, parameter_count, quantum_counts
from qgan_qiskit.runs import checkpoint
from qgan_qiskit.runs.load import build_networks
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.runs.sample import generated
from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup, check_launch, join, launch
from qgan_qiskit.training.loop import train
from qgan_qiskit.training.run_logger import Measure, check_tensorboard
from qgan_qiskit.training.state import TrainingState

logger = logging.getLogger(__name__)


def classes_to_train(config: RunConfig) -> tuple[str, ...]:
    """Return the classes that a configuration trains on, one GAN each, as the data spell them, without decoding images.

    A conditional model has one GAN for all of them, whose name is a list.

    Raises:
        DataError: there is no such class, or no data.
        UsageError: a class is named twice.
    """
    names = class_names(config.data)
    spelled = {name.casefold(): name for name in names}
    if config.data.class_name is not None and config.data.class_name.casefold() in spelled:
        # A class may be called 'all' or have a comma in its name.
        return (_conditional_name(config, spelled[config.data.class_name.casefold()]),)
    wanted = tuple(spelled.get(name.casefold(), name) for name in config.data.class_list()) or names
    if config.model.conditional:
        if len(set(wanted)) < len(wanted):
            raise UsageError(f"--class {config.data.class_name} names a class twice; name each once")
        for name in wanted:
            _conditional_name(config, name)
        return (",".join(wanted),)
    if config.data.class_list():
        # Of other models a class is what was asked for, commas included: a folder may have one in its name.
        name = str(config.data.class_name)
        return (spelled.get(name.casefold(), name),)
    return names


def _conditional_name(config: RunConfig, name: str) -> str:
    """Refuse the name of a class that a list of classes cannot hold, where the model has such a list."""
    if config.model.conditional and ("," in name or name.casefold() == "all"):
        raise UsageError(
            f"class '{name}': a conditional model lists its classes with commas between them, and 'all' means every class; "
            "rename the class, or take another model"
        )
    return name


def fit(config: RunConfig, outdir: Path) -> list[Path]:
    """Train one GAN per class, in turn; what cannot work is refused before the first run folder is made.

    Args:
        config: all settings.
        outdir: where the numbered run folders go.

    Returns:
        The run folders.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    config, device, generator = _checked(config)
    jobs = [_job(config.updated({"data": {"class_name": name}})) for name in classes_to_train(config)]
    for _, batches in jobs:
        _log_images(batches.image_set)
    for _, batches in jobs:
        generator.validate_data(batches.image_set.images_NHWC)
    runs = []
    for number, (one, batches) in enumerate(jobs):
        run = RunFolder.create(outdir, one, str(one.data.class_name))
        try:
            _start(run, one, batches, device)
        except QganError:
            for later, _ in jobs[number + 1 :]:
                logger.warning(
                    f"class {later.data.class_name} is not trained; give --class {later.data.class_name} for it"
                )
            raise
        runs.append(run.path)
    return runs


def fit_into(config: RunConfig, path: Path) -> Path:
    """Train one GAN in a folder of a given name, or go on with what is there; a finished run is left as it is.

    Args:
        config: all settings, with one class.
        path: the run folder.

    Returns:
        The run folder.

    Raises:
        QganError: with one line that names the culprit and the remedy; also when the folder holds a run of other settings.
    """
    config = config.updated({"data": {"split": resolve_split(config.data)}})
    if (path / "config.json").is_file():
        training, evaluation = config.training.model_dump(), config.evaluation.model_dump()
        longer = {name: training[name] for name in RESUMABLE}
        # Everything else must be what the run began with, or the cell of a study would not be what its name says.
        _check_settings(RunFolder.open(path), config, _deciding(RunFolder.open(path).config()))
        return resume(path, {"training": longer, "evaluation": evaluation})
    config, device, generator = _checked(config)
    one, batches = _job(config)
    _log_images(batches.image_set)
    generator.validate_data(batches.image_set.images_NHWC)
    _start(RunFolder.create_at(path, one), one, batches, device)
    return path


def check_run(config: RunConfig) -> None:
    """Refuse a run of one class that could not be trained or measured on its images; makes nothing, keeps nothing.

    The device is not looked at: whoever plans a study may have another than those who train.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    generator, _ = build_networks(config)
    _, batches = _job(config)
    generator.validate_data(batches.image_set.images_NHWC)
    _measurement(config, batches.image_set)


def _checked(config: RunConfig) -> tuple[RunConfig, torch.device, Generator]:
    """Refuse what cannot work before images are read; return the settings with absolute paths, and what checks the images."""
    device = _device(config)
    if config.data.path is not None:
        # The run may be gone on with from another folder.
        config = config.updated({"data": {"path": absolute_source(config.data.path)}})
        if config.data.table is not None:
            config = config.updated({"data": {"table": absolute_table(config.data.table)}})
    # A run says which part it was trained on, whatever a later version takes without being told.
    config = config.updated({"data": {"split": resolve_split(config.data)}})
    config = config.model_copy(update={"evaluation": config.evaluation.with_absolute_weights()})
    for field in config.model.weight_files:
        named = getattr(config.model, field)
        if named is not None:
            config = config.updated({"model": {field: str(expanded(named).absolute())}})
    if config.training.tensorboard:
        check_tensorboard()
    if config.model.conditional and not config.data.class_list():
        config = config.updated({"data": {"class_name": classes_to_train(config)[0]}})
    if (file := config.model.circuit_file) is not None:
        _check_circuit(build_circuit_spec(config.model))
        if note := exporter_note(file):
            logger.warning(note)
        config = config.updated({"model": {"ansatz": str(Path(file).absolute())}})
    generator, _ = build_networks(config)
    return config, device, generator


def _check_circuit(ansatz: CircuitSpec) -> None:
    """Refuse a circuit of the user's own that is another one when it is stored; show the order of parameters that were named."""
    circuit_spec_to_qasm(ansatz)
    card = circuit_metadata(ansatz)
    for what in ("input", "weight"):
        if names := card.get(f"original_{what}_names"):
            logger.info(f"{what}s in order: {', '.join(names)}")


def _device(config: RunConfig) -> torch.device:
    """Return where to compute; with several devices, the kind that each process has one of."""
    devices = config.training.devices
    if devices > 1:
        check_launch(devices)
    return check_device(config.training.device, devices)


def _start(run: RunFolder, config: RunConfig, batches: Batches, device: torch.device) -> None:
    with run:
        _describe(run, config, batches.image_set)
        _train(run, run.config(), batches, device)


def _job(config: RunConfig) -> tuple[RunConfig, Batches]:
    """Return a configuration of one class with its images, all read and found good."""
    images = selected(config, config.data, config.training.seed)
    training, data = config.training, config.data
    batches = Batches(images, training.images_per_step, training.seed, data.augment, data.channels)
    return config, batches


def _log_images(images: ImageSet) -> None:
    for note in images.notes:
        logger.warning(note)
    logger.info(summary_line(images))


def resume(path: Path, changes: dict[str, dict[str, Any]]) -> Path:
    """Go on with a run from its newest whole checkpoint, bit for bit as if it had not stopped.

    Args:
        path: the run folder.
        changes: settings of the ``training`` section that may differ (``config.RESUMABLE``): how long, and how often to
            log, draw and save; they are kept in the run's ``config.json``.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    run = RunFolder.open(path)
    with run:
        config = run.config().updated(changes)
        device = _device(config)
        _, batches = _job(config)
        _log_images(batches.image_set)
        if not (run.path / "data.json").is_file():
            # Killed before it was written: nothing has been trained yet.
            _describe(run, config, batches.image_set)
            config = run.config().updated(changes)
        _train(run, config, batches, device)
    return path


def selected(config: RunConfig, data: DataConfig, seed: int) -> ImageSet:
    """Return the images of the classes that data settings name, as a run of a model reads them.

    Args:
        config: of the run, for its model.
        data: its data settings, or others in their place.
        seed: of made images.

    Raises:
        DataError: the images cannot be read, or there is no such class.
    """
    if config.model.conditional:
        images = read_images(data.model_copy(update={"class_name": None}), seed)
        return images.select_classes(data.class_list() or images.classes)
    images = read_images(data, seed)
    return images if data.class_name is None else images.select(data.class_name)


def _describe(run: RunFolder, config: RunConfig, images: ImageSet) -> None:
    """Keep the circuit beside the weights, as a user's own file may change or go, and say which images were used."""
    if config.model.is_quantum:
        _keep_original(run, config.model.circuit_file)
        ansatz = build_circuit_spec(config.model)
        # The circuit after its card: a run that has a circuit has both.
        run.write_text("circuit.json", metadata_text(circuit_metadata(ansatz)))
        run.write_text("circuit.qasm", circuit_spec_to_qasm(ansatz))
        run.write_config(run.config())
    summary = {**summarize_images(images), "digest": images.digest, "notes": list(images.notes)}
    run.write_text("data.json", json.dumps(summary, indent=1) + "\n")


def _keep_original(run: RunFolder, file: str | None) -> None:
    """Keep a user's circuit and its card byte for byte; the run trains from the written-out form beside them."""
    if file is None or Path(file) == run.path / "circuit.qasm":
        return
    for source, name in (
        (Path(file), "circuit_original.qasm"),
        (Path(file).with_suffix(".json"), "circuit_original.json"),
    ):
        if source.is_file():
            run.write_bytes(name, source.read_bytes())


def _deciding(config: RunConfig) -> dict[str, Any]:
    """Return the settings that decide a run's numbers, for comparison: images and circuits stand by their content."""
    dump = config.model_dump(mode="json")
    sections = {name: dump[name] for name in ("model", "data", "training")}
    for section, left_out in (("data", ("path", "cache_dir")), ("training", RESUMABLE)):
        sections[section] = {key: value for key, value in sections[section].items() if key not in left_out}
    if config.model.circuit_file is not None:
        # The digest knows the order of inputs and weights; the patterns that gave it are of one file.
        sections["model"] |= {
            "ansatz": circuit_digest(build_circuit_spec(config.model)),
            "input_names": None,
            "weight_names": None,
        }
    return sections


def _check_settings(run: RunFolder, config: RunConfig, saved: dict[str, Any]) -> None:
    """Refuse to go on with other settings than those of the checkpoint: someone edited config.json or circuit.qasm."""
    for section, now in _deciding(config).items():
        # A setting that the version which saved did not have stood, in effect, at what is the default now.
        before = {**type(getattr(config, section))().model_dump(mode="json"), **saved.get(section, {})}
        file = config.model.circuit_file
        if section == "model" and file is not None and before["ansatz"] == _bytes_digest(file):
            # Checkpoints of earlier versions hold the digest of the file in place of the circuit's.
            before["ansatz"] = now["ansatz"]
        for key in sorted({*now, *saved.get(section, {})}):
            if now.get(key) != before.get(key):
                raise CheckpointError(
                    f"{run.path}: {section}.{key} is {now.get(key)!r} and was {before.get(key)!r} when the checkpoint was "
                    "written; bring it back, or start a new run"
                )


def _bytes_digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _train(run: RunFolder, config: RunConfig, batches: Batches, device: torch.device) -> None:
    keep_freed_memory()
    several = config.training.devices > 1
    # Several processes have networks of their own; with these it is found out, before they start, whether all fits.
    state, threads = _state(run, config, batches, torch.device("cpu") if several else device)
    steps = _steps(config, batches)
    if state.step >= steps:
        logger.info(f"nothing to do: {state.step} of {steps} steps are done; ask for more with --steps or --epochs")
        return
    run.write_config(config)
    run.cut_rows(state.step)
    if several:
        del state
        digest = batches.image_set.digest
        launch(device, config.training.devices, _take_part, run.path, config, digest, threads, logs_to_stderr())
    else:
        # Sums are split over threads, so their number is part of what makes a rerun exact.
        torch.set_num_threads(threads)
        _take_steps(run, config, batches, state, threads, device)
    logger.info(f"done: {run.path}")


def _take_part(
    ranks: ProcessGroup, device: torch.device, path: Path, config: RunConfig, digest: str, threads: int, verbose: bool
) -> None:
    """Train as one of several processes; the one that started them holds the run's lock."""
    keep_freed_memory()
    torch.set_num_threads(max(1, threads // ranks.count))
    _, batches = _job(config)
    if batches.image_set.digest != digest:
        raise DataError(f"{config.data.path}: the images changed while the run was started; start it again")
    run = RunFolder.open(path)
    state, _ = _state(run, config, batches, device, ranks)
    # What has been logged until here, the process that started this one has logged.
    if verbose and ranks.first:
        log_to_stderr()
    _take_steps(run, config, batches, state, threads, device, ranks)


def _steps(config: RunConfig, batches: Batches) -> int:
    return config.training.steps or config.training.epochs * batches.steps_per_epoch


def _state(
    run: RunFolder,
    config: RunConfig,
    batches: Batches,
    device: torch.device,
    ranks: ProcessGroup = SINGLE_PROCESS,
) -> tuple[TrainingState, int]:
    """Return what a run goes on from, the beginning or its newest checkpoint, and the threads of all processes together."""
    training, images = config.training, batches.image_set
    generator, discriminator = build_networks(config)
    saved = checkpoint.published(run.checkpoints)
    if not saved:
        generator.fit_to_data(images.images_NHWC)
        # Fitted with several threads it may differ in the last digit.
        ranks.take_from_first(generator.buffers())
    to_device(generator, device)
    to_device(discriminator, device)
    join(generator, discriminator, ranks)
    state = TrainingState.create(config, generator, discriminator)
    threads = training.threads or torch.get_num_threads()
    logger.info(
        f"{run.path}: {config.model.name}, preset {config.preset}, class {', '.join(images.classes)}: {len(images)} images, "
        f"{parameter_count(generator, discriminator):,} parameters "
        f"({quantum_counts(generator, discriminator)[0]:,} quantum), "
        f"{_steps(config, batches)} steps of {training.images_per_step}"
    )
    if saved:
        path, tensors, values, complaints = checkpoint.load_newest(run.checkpoints)
        for complaint in complaints:
            logger.warning(f"passed over {complaint}")
        if values.get("data_digest") != images.digest:
            raise CheckpointError(
                f"{run.path}: the images are not those the run began with; bring them back, or start a new run"
            )
        _check_settings(run, config, values.get("settings") or _deciding(config))
        if training.lr_decay_from < 1 and values.get("steps") != _steps(config, batches):
            # What a longer run would have done until here is not known any more.
            logger.warning(
                f"step sizes fell toward step {values.get('steps')}; from now on they fall toward step "
                f"{_steps(config, batches)}, which is not what a run of that length does from the start"
            )
        state.load(tensors, values)
        threads = training.threads or int(values.get("threads", threads))
        logger.info(f"resuming {path.name}")
    return state, threads


def _take_steps(
    run: RunFolder,
    config: RunConfig,
    batches: Batches,
    state: TrainingState,
    threads: int,
    device: torch.device,
    ranks: ProcessGroup = SINGLE_PROCESS,
) -> None:
    images = batches.image_set
    steps = _steps(config, batches)
    saved_values = {"data_digest": images.digest, "threads": threads, "settings": _deciding(config), "steps": steps}
    measure = _measurement(config, images) if ranks.first else None
    labels = batches.labels if config.model.conditional else None
    train(run, config, state, batches.batch, steps, saved_values, device, measure, ranks, labels)


def _measurement(config: RunConfig, images: ImageSet) -> Measure | None:
    """Return what measures a generator while it is trained, None when nothing is asked for."""
    if not config.evaluation.names():
        return None
    evaluator = Evaluator(config.evaluation, images.images_NHWC, cache_dir=cache_folder(config.data))
    number = min(config.evaluation.metrics_number, len(images))
    return lambda generator: [figure.as_dict() for figure in evaluator.measure(generated(generator, number))]

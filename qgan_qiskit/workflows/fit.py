"""Train GANs: ``fit`` makes one run per class, ``resume`` continues a run bit-exactly, ``check_run`` only checks one.

Whatever cannot work is refused with one line before the first run folder is made.

Shape letters: N images · H W C image.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch

from qgan_qiskit.circuits import (
    CircuitSpec,
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
from qgan_qiskit.errors import DataError, QganError, UsageError
from qgan_qiskit.metrics import Evaluator
from qgan_qiskit.models import Discriminator, Generator, build_circuit_spec, parameter_count, quantum_counts
from qgan_qiskit.runs.load import Saved, build_networks, check_settings, decisive_settings, load_resumable
from qgan_qiskit.runs.run_folder import RunFolder
from qgan_qiskit.runs.sample import sample_uint8
from qgan_qiskit.training.distributed import SINGLE_PROCESS, ProcessGroup, convert_sync_batchnorm
from qgan_qiskit.training.launch import check_launch, launch
from qgan_qiskit.training.loop import train
from qgan_qiskit.training.run_logger import Evaluate, TrainingJob, check_tensorboard
from qgan_qiskit.training.state import TrainingState

logger = logging.getLogger(__name__)

Networks = tuple[Generator, Discriminator]


def fit(config: RunConfig, outdir: Path) -> list[Path]:
    """Train one GAN per class, in turn; a conditional model is one GAN for all classes.

    Args:
        config: all settings.
        outdir: parent of the numbered run folders, which are returned.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    device = _check_devices(config)
    config = _resolve(config)
    configs = [config.updated({"data": {"class_name": name}}) for name in classes_to_train(config)]
    networks, batches = _prepare(configs)
    runs: list[Path] = []
    for class_config, class_batches in zip(configs, batches, strict=True):
        run = RunFolder.create(outdir, class_config, str(class_config.data.class_name))
        try:
            # The first run trains the networks that were checked; each other one gets its own.
            _start(run, class_config, class_batches, device, None if runs else networks)
        except QganError:
            for later in configs[len(runs) + 1 :]:
                name = later.data.class_name
                logger.warning(f"class {name} was not trained; train it with --class {name}")
            raise
        runs.append(run.path)
    return runs


def fit_into(config: RunConfig, path: Path) -> Path:
    """Train one GAN in a folder of a given name, or resume the run in it; a finished run is left as it is.

    Args:
        config: all settings, with one class.
        path: the run folder, which is returned.

    Raises:
        QganError: with one line that names the culprit and the remedy; also if the folder holds a run of other settings.
    """
    if (path / "config.json").is_file():
        config = config.updated({"data": {"split": resolve_split(config.data)}})
        run = RunFolder.open(path)
        # A study relies on the cell being what its name says.
        check_settings(run, config, decisive_settings(run.config()))
        training = config.training.model_dump()
        changes = {"training": {name: training[name] for name in RESUMABLE}}
        return resume(path, changes | {"evaluation": config.evaluation.model_dump()})
    device = _check_devices(config)
    config = _resolve(config)
    if config.model.conditional and not config.data.class_list():
        config = config.updated({"data": {"class_name": classes_to_train(config)[0]}})
    networks, [batches] = _prepare([config])
    _start(RunFolder.create_at(path, config), config, batches, device, networks)
    return path


def resume(path: Path, changes: dict[str, dict[str, Any]]) -> Path:
    """Continue a run from its newest whole checkpoint, bit for bit as if it had not stopped.

    Args:
        path: the run folder, which is returned.
        changes: ``{section: {field: value}}`` of settings that may differ (``config.RESUMABLE`` of ``training``, and
            ``evaluation``); they are kept in the run's ``config.json``.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    run = RunFolder.open(path)
    with run:
        config = run.config().updated(changes)
        device = _check_devices(config)
        batches = _read_batches(config)
        _log_images(batches.image_set)
        if not (run.path / "data.json").is_file():
            # Killed before it was written, so nothing has been trained yet.
            _write_inputs(run, config, batches.image_set)
            config = run.config().updated(changes)
        _train(run, config, batches, device)
    return path


def check_run(config: RunConfig) -> None:
    """Check that a run of one class could be trained and evaluated on its images; write nothing.

    The device is not checked: a study may be planned on another machine.

    Raises:
        QganError: with one line that names the culprit and the remedy.
    """
    generator, _ = build_networks(config)
    images = _read_batches(config).image_set
    generator.validate_data(images.images_NHWC)
    _make_evaluate(config, images)


def classes_to_train(config: RunConfig) -> tuple[str, ...]:
    """Return the classes to train one GAN for each, spelled as in the data, without decoding images.

    A conditional model has one GAN, whose class name is a list separated by commas.

    Raises:
        DataError: there is no such class, or no data.
        UsageError: a class is named twice.
    """
    names = class_names(config.data)
    spelled = {name.casefold(): name for name in names}
    if config.data.class_name is not None and config.data.class_name.casefold() in spelled:
        # Checked first: a class may be called 'all' or have a comma in its name.
        name = spelled[config.data.class_name.casefold()]
        _check_listable(config, name)
        return (name,)
    wanted = tuple(spelled.get(name.casefold(), name) for name in config.data.class_list()) or names
    if config.model.conditional:
        if len(set(wanted)) < len(wanted):
            raise UsageError(f"--class {config.data.class_name} names a class twice; name each once")
        for name in wanted:
            _check_listable(config, name)
        return (",".join(wanted),)
    # Other models take one class; reading the images refuses a name that is not there.
    return (str(config.data.class_name),) if config.data.class_list() else names


def _check_listable(config: RunConfig, name: str) -> None:
    """Refuse a class name that the class list of a conditional model cannot hold."""
    if config.model.conditional and ("," in name or name.casefold() == "all"):
        raise UsageError(
            f"class '{name}': a conditional model separates classes by commas, and 'all' means every class; "
            "rename the class, or use another model"
        )


def read_selected_images(config: RunConfig, data: DataConfig, seed: int) -> ImageSet:
    """Return the images of the classes that data settings name, as a run of a model reads them.

    Args:
        config: of the run, for its model.
        data: its data settings, or others instead.
        seed: of synthetic lesions.

    Raises:
        DataError: the images cannot be read, or there is no such class.
    """
    if config.model.conditional:
        images = read_images(data.model_copy(update={"class_name": None}), seed)
        return images.select_classes(data.class_list() or images.classes)
    images = read_images(data, seed)
    return images if data.class_name is None else images.select(data.class_name)


def _resolve(config: RunConfig) -> RunConfig:
    """Return settings that mean the same from any folder and in later versions; check extras and the user's circuit."""
    if config.data.path is not None:
        config = config.updated({"data": {"path": absolute_source(config.data.path)}})
        if config.data.table is not None:
            config = config.updated({"data": {"table": absolute_table(config.data.table)}})
    config = config.updated({"data": {"split": resolve_split(config.data)}})
    config = config.model_copy(update={"evaluation": config.evaluation.with_absolute_weights()})
    for field in config.model.weight_files:
        named = getattr(config.model, field)
        if named is not None:
            config = config.updated({"model": {field: str(expanded(named).absolute())}})
    if config.training.tensorboard:
        check_tensorboard()
    if (file := config.model.circuit_file) is not None:
        _check_circuit(build_circuit_spec(config.model))
        if note := exporter_note(file):
            logger.warning(note)
        config = config.updated({"model": {"ansatz": str(Path(file).absolute())}})
    return config


def _check_circuit(spec: CircuitSpec) -> None:
    """Refuse a user's circuit that changes when it is stored; log the order of parameters selected by patterns."""
    circuit_spec_to_qasm(spec)
    metadata = circuit_metadata(spec)
    for kind in ("input", "weight"):
        if names := metadata.get(f"original_{kind}_names"):
            logger.info(f"{kind}s in order: {', '.join(names)}")


def _check_devices(config: RunConfig) -> torch.device:
    """Return the device to train on; for several processes, the kind that each has one of."""
    devices = config.training.devices
    if devices > 1:
        check_launch(devices)
    return check_device(config.training.device, devices)


def _read_batches(config: RunConfig) -> Batches:
    training, data = config.training, config.data
    images = read_selected_images(config, data, training.seed)
    return Batches(images, training.images_per_step, training.seed, data.augment, data.channels)


def _prepare(configs: list[RunConfig]) -> tuple[Networks, list[Batches]]:
    """Build the networks of the first settings and read the images of all; refuse images that cannot be trained on."""
    networks = build_networks(configs[0])
    batches = [_read_batches(config) for config in configs]
    for class_batches in batches:
        _log_images(class_batches.image_set)
    for class_batches in batches:
        networks[0].validate_data(class_batches.image_set.images_NHWC)
    return networks, batches


def _log_images(images: ImageSet) -> None:
    for note in images.notes:
        logger.warning(note)
    logger.info(summary_line(images))


def _start(
    run: RunFolder, config: RunConfig, batches: Batches, device: torch.device, networks: Networks | None
) -> None:
    """Train a new run; ``networks`` are untrained ones of these settings, None to build them."""
    with run:
        _write_inputs(run, config, batches.image_set)
        stored = run.config()
        # A user's circuit is trained as stored, so that a resumed run does the same arithmetic.
        _train(run, stored, batches, device, networks if stored.model == config.model else None)


def _write_inputs(run: RunFolder, config: RunConfig, images: ImageSet) -> None:
    """Copy the circuit into the run folder, as a user's own file may change, and describe the images."""
    if config.model.is_quantum:
        _copy_original_circuit(run, config.model.circuit_file)
        spec = build_circuit_spec(config.model)
        # Metadata first: a run that has a circuit has both files.
        run.write_text("circuit.json", metadata_text(circuit_metadata(spec)))
        run.write_text("circuit.qasm", circuit_spec_to_qasm(spec))
        run.write_config(run.config())
    summary = {**summarize_images(images), "digest": images.digest, "notes": list(images.notes)}
    run.write_text("data.json", json.dumps(summary, indent=1) + "\n")


def _copy_original_circuit(run: RunFolder, file: str | None) -> None:
    """Keep a user's circuit and metadata byte for byte beside the stored form that the run trains."""
    if file is None or Path(file) == run.path / "circuit.qasm":
        return
    for source in (Path(file), Path(file).with_suffix(".json")):
        if source.is_file():
            suffix = ".qasm" if source == Path(file) else ".json"
            run.write_bytes(f"circuit_original{suffix}", source.read_bytes())


def _train(
    run: RunFolder, config: RunConfig, batches: Batches, device: torch.device, networks: Networks | None = None
) -> None:
    """Train a locked run from its newest checkpoint, or from the start, in this process or in several."""
    training, images = config.training, batches.image_set
    steps = _count_steps(config, batches)
    saved = load_resumable(run, config, images.digest, steps)
    step, threads = 0, torch.get_num_threads()
    if saved is not None:
        step, threads = saved[1]["step"], int(saved[1].get("threads", threads))
    # Sums are split over threads, so a resumed run needs their number to be bit-exact.
    threads = training.threads or threads
    if step >= steps:
        logger.info(f"nothing to do: {step} of {steps} steps are done; ask for more with --steps or --epochs")
        return
    run.write_config(config)
    run.truncate_logs(step)
    if training.devices > 1:
        del networks, saved
        launch(device, training.devices, _train_in_worker, run.path, config, images.digest, threads, logs_to_stderr())
    else:
        torch.set_num_threads(threads)
        _train_here(run, config, batches, networks or build_networks(config), saved, threads, device)
    logger.info(f"done: {run.path}")


def _train_in_worker(
    group: ProcessGroup, device: torch.device, path: Path, config: RunConfig, digest: str, threads: int, verbose: bool
) -> None:
    """Train as one of several processes; their parent holds the run's lock and has logged everything up to here."""
    torch.set_num_threads(max(1, threads // group.world_size))
    batches = _read_batches(config)
    if batches.image_set.digest != digest:
        raise DataError(f"{config.data.path}: the images changed while the run was starting; start it again")
    run = RunFolder.open(path)
    saved = load_resumable(run, config, digest, _count_steps(config, batches))
    if verbose and group.is_main:
        log_to_stderr()
    _train_here(run, config, batches, build_networks(config), saved, threads, device, group)


def _train_here(
    run: RunFolder,
    config: RunConfig,
    batches: Batches,
    networks: Networks,
    saved: Saved | None,
    threads: int,
    device: torch.device,
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train in this process, alone or as one of a group that has ``threads`` threads together."""
    keep_freed_memory()
    images, steps = batches.image_set, _count_steps(config, batches)
    generator, discriminator = networks
    logger.info(
        f"{run.path}: {config.model.name}, preset {config.preset}, class {', '.join(images.classes)}: {len(images)} images, "
        f"{parameter_count(generator, discriminator):,} parameters "
        f"({quantum_counts(generator, discriminator)[0]:,} quantum), "
        f"{steps} steps of {config.training.images_per_step}"
    )
    state = _make_state(config, networks, images, saved, device, group)
    settings = decisive_settings(config)
    job = TrainingJob(
        run,
        config,
        batches.batch,
        batches.labels if config.model.conditional else None,
        steps,
        {"data_digest": images.digest, "threads": threads, "settings": settings, "steps": steps},
        device,
        _make_evaluate(config, images) if group.is_main else None,
    )
    train(job, state, group)


def _make_state(
    config: RunConfig,
    networks: Networks,
    images: ImageSet,
    saved: Saved | None,
    device: torch.device,
    group: ProcessGroup,
) -> TrainingState:
    """Return the state to train from: fitted to the images, or restored from a checkpoint."""
    generator, discriminator = networks
    if saved is None:
        generator.fit_to_data(images.images_NHWC)
        # Computed with several threads, it may differ in the last digit between processes.
        group.broadcast_(generator.buffers())
    to_device(generator, device)
    to_device(discriminator, device)
    convert_sync_batchnorm(generator, discriminator, group)
    state = TrainingState.create(config, generator, discriminator)
    if saved is not None:
        state.load(*saved)
    return state


def _count_steps(config: RunConfig, batches: Batches) -> int:
    return config.training.steps or config.training.epochs * batches.steps_per_epoch


def _make_evaluate(config: RunConfig, images: ImageSet) -> Evaluate | None:
    """Return the function that evaluates a generator during training, None if no metrics are configured."""
    if not config.evaluation.names():
        return None
    evaluator = Evaluator(config.evaluation, images.images_NHWC, cache_dir=cache_folder(config.data))
    number = min(config.evaluation.metrics_number, len(images))
    return lambda generator: [result.as_dict() for result in evaluator.measure(sample_uint8(generator, number))]

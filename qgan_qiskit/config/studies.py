"""Settings of the studies.

A ``…Choice`` says which cells are asked for: it may change from one command to the next. A ``…Config`` is shared by all cells
of a study and cannot change.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.evaluation import EvaluationConfig
from qgan_qiskit.config.hardware import HardwareConfig
from qgan_qiskit.config.models import Encoding, Entangler, HybridQConfig, Readout
from qgan_qiskit.config.training import DeviceName, TrainingConfig

_TRAINING = TrainingConfig.model_fields
_HARDWARE = HardwareConfig.model_fields
_CIRCUIT = HybridQConfig.model_fields
_NUMBERS = r"^\d+(,\d+)*$"
# The exact permutation test enumerates 2^seeds sign patterns.
MOST_SEEDS = 20
# The fidelity of two states is measured as 2^qubits Pauli strings.
MOST_QUBITS = 16
MOST_REPS = 200
# Named lists of models.
SUITES = {
    "data-reduction": ",".join(
        f"transfer{preset}{fraction}"
        for fraction in ("", "@0.5", "@0.2", "@0.1")
        for preset in (":none", ":generator", ":discriminator", "")
    )
}


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of a list, rising, each once."""
    return tuple(sorted({int(part) for part in text.split(",")}))


class CompareChoice(Settings):
    """What is compared."""

    models: str = Field(
        "hybridq,hybridq+baseline,dcgan,mosaiq",
        description="Models, as NAME, NAME:PRESET, with +baseline for circuits replaced by classical layers, or with @0.5 for "
        "half of the images to train on.",
    )
    seeds: str = Field("0", description="Seeds of the runs, such as 0,1,2 or 0-4.")


class CompareConfig(Settings):
    """What all cells of a comparison share."""

    epochs: int = Field(
        _TRAINING["epochs"].default,
        ge=1,
        description="Budget of every model, in passes over the images of the class; all models see as many images.",
    )
    curve_every: int = Field(5, ge=0, description="Epochs between points of the curves; 0 draws none.")
    curve_number: int | None = Field(
        None, ge=2, description="Images for each point of the curves. [default: --metrics-number]"
    )
    augment: Literal["none", "flip", "dihedral"] | None = Field(
        None,
        description="Augment real images at random while training: left-right flips, or the eight symmetries of the square. "
        "[default: each preset's own]",
    )
    device: DeviceName = Field(_TRAINING["device"].default, description=_TRAINING["device"].description)
    threads: int | None = Field(None, ge=1, le=1024, description=_TRAINING["threads"].description)
    model_settings: dict[str, dict[str, str]] = Field(
        {},
        description="A setting of a model that its presets leave open, as MODEL.SETTING=VALUE, such as "
        "transfer.weights=FILE; may be given several times. [default: none]",
    )
    data: DataConfig = DataConfig()
    evaluation: EvaluationConfig = EvaluationConfig(metrics="fid,kid,prdc")

    def curve(self, steps_of_an_epoch: float) -> EvaluationConfig:
        """Return what a run measures during training: the first metric alone, without intervals."""
        if self.curve_every == 0:
            return self.evaluation.model_copy(update={"metrics": "none"})
        return EvaluationConfig.model_validate(
            self.evaluation.model_dump()
            | {
                "metrics": self.evaluation.names()[0],
                "metrics_every": max(1, round(self.curve_every * steps_of_an_epoch)),
                "metrics_number": self.curve_number or self.evaluation.metrics_number,
                "bootstrap": 0,
            }
        )


class AugmentConfig(Settings):
    """A classifier on few real images, with and without generated ones (arXiv 2506.21015v1, section 4.3)."""

    backbone: Literal["resnet50", "mobilenet_v2"] = Field(
        "resnet50", description="Classifier, from torchvision; mobilenet_v2 suits small machines."
    )
    weights: str | None = Field(
        None,
        description="File of weights with torchvision's names to start from, complete or partial; without it the classifier "
        "starts from scratch.",
    )
    normalization: Literal["imagenet", "symmetric"] = Field(
        "imagenet",
        description="Pixel range that the weights expect: ImageNet's mean and standard deviation (torchvision), or the range "
        "-1 to 1 (x / 127.5 - 1).",
    )
    resnet_stride: Literal["conv2", "conv1"] = Field(
        "conv2",
        description="Convolution that halves the image in the first block of layers 2 to 4: conv2 as in torchvision, conv1 "
        "as in the original ResNet, whose weights carry the same names (resnet50 only).",
    )
    input_size: int | None = Field(
        None,
        ge=16,
        le=512,
        description="Side in pixels of the classifier's input (resized bilinearly). [default: that of the images]",
    )
    real_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Fraction of the train split's images that the classifier trains on, in each class.",
    )
    alphas: str = Field(
        "0.1,0.3,0.5,0.7",
        description="Fractions of generated images among all training images to try, between 0 and 1.",
    )
    generated_classes: Literal["as-real", "balanced"] = Field(
        "as-real",
        description="Classes of the generated images: in the proportions of the real ones, or such that all training images "
        "are as balanced over the classes as alpha allows.",
    )
    seeds: str = Field(
        "0,1,2,3,4",
        description=f"Seeds of the study, at most {MOST_SEEDS}: each samples other real images and classifiers.",
    )
    steps: int = Field(
        300, ge=1, le=1_000_000, description="Optimizer steps of every classifier, whatever it is trained on."
    )
    batch_size: int = Field(32, ge=2, le=4096, description="Images in a step.")
    lr: float = Field(1e-3, gt=0, le=1, description="Initial learning rate of Adam, with a cosine schedule to 0.")
    bootstrap: int = Field(1000, ge=100, le=100_000, description="Resamplings of the test lesions for each interval.")
    device: DeviceName = Field("cpu", description="Where torch computes: cpu, cuda or cuda:N.")
    threads: int | None = Field(None, ge=1, le=1024, description="Processor threads. [default: all]")

    def alpha_values(self) -> tuple[float, ...]:
        """Return the alphas, rising."""
        return tuple(sorted(float(part) for part in self.alphas.split(",")))

    def grid(self) -> tuple[tuple[float, ...], int]:
        """Return the alphas, rising, and the number of seeds that each has."""
        return self.alpha_values(), len(self.seed_values())

    def seed_values(self) -> tuple[int, ...]:
        """Return the seeds, rising."""
        return tuple(sorted(int(part) for part in self.seeds.split(",")))

    @field_validator("alphas")
    @classmethod
    def _check_alphas(cls, text: str) -> str:
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = [-1.0]
        if any(not 0 < value < 1 for value in values):
            raise ValueError("a list of numbers between 0 and 1, such as 0.1,0.3 (no augmentation is always measured)")
        if len({f"{value:g}" for value in values}) != len(values):
            raise ValueError("names an alpha twice")
        return text

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, text: str) -> str:
        parts = text.split(",")
        if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
            raise ValueError("a list of whole numbers, such as 0,1,2")
        values = [int(part) for part in parts]
        if len(set(values)) != len(values) or len(values) > MOST_SEEDS or max(values) >= 2**63:
            raise ValueError(f"at most {MOST_SEEDS} different seeds below 2**63")
        return text

    @model_validator(mode="after")
    def _check_combinations(self) -> AugmentConfig:
        if self.resnet_stride == "conv1" and self.backbone != "resnet50":
            raise ValueError(f"augment.resnet_stride 'conv1' has no effect on {self.backbone}: leave it out")
        return self


class CircuitsChoice(Settings):
    """Which circuits of the built-in family."""

    num_qubits: str = Field(
        "2,4,6,8,10", pattern=_NUMBERS, description=f"Numbers of qubits, as a list of 1 to {MOST_QUBITS}."
    )
    reps: str = Field(
        "1,2,4,8",
        pattern=_NUMBERS,
        description=f"Repetitions of the rotation + entangler layer, as a list of 1 to {MOST_REPS}.",
    )
    encoding: Encoding = Field(_CIRCUIT["encoding"].default, description=_CIRCUIT["encoding"].description)
    entangler: Entangler = Field(_CIRCUIT["entangler"].default, description=_CIRCUIT["entangler"].description)
    readout: Readout = Field(
        _CIRCUIT["readout"].default, description="Pauli measured: on the middle qubit (local) and on all (global)."
    )

    @field_validator("num_qubits")
    @classmethod
    def _check_qubits(cls, value: str) -> str:
        if not all(1 <= number <= MOST_QUBITS for number in _numbers(value)):
            raise ValueError(f"qubits are between 1 and {MOST_QUBITS}")
        return value

    @field_validator("reps")
    @classmethod
    def _check_reps(cls, value: str) -> str:
        if not all(1 <= number <= MOST_REPS for number in _numbers(value)):
            raise ValueError(f"repetitions are between 1 and {MOST_REPS}")
        return value

    def qubit_numbers(self) -> tuple[int, ...]:
        """Return the numbers of qubits, rising, each once."""
        return _numbers(self.num_qubits)

    def repetitions(self) -> tuple[int, ...]:
        """Return the repetitions, rising, each once."""
        return _numbers(self.reps)


class CircuitsConfig(Settings):
    """What all circuits of a study share."""

    samples: int = Field(
        5000,
        ge=40,
        le=1_000_000,
        description="Pairs of random states for the expressibility, and random states for the entangling capability.",
    )
    bins: int = Field(75, ge=2, le=1000, description="Bins of the histogram of fidelities.")
    gradient_samples: int = Field(
        500, ge=40, le=1_000_000, description="Sets of random angles for each gradient variance."
    )
    circuit_seed: int = Field(0, ge=0, lt=2**63, description="Seed of all random angles.")


class GeometryConfig(Settings):
    """What is measured of every run."""

    number: int = Field(64, ge=2, le=10_000, description="Latents at which Jacobians are taken: seeds 0 to N-1.")
    feature_number: int = Field(2000, ge=2, le=1_000_000, description="Latents of the feature matrix: seeds 0 to N-1.")
    pairs: int = Field(
        256,
        ge=2,
        le=100_000,
        description="Pairs of latents for path lengths and fidelities: seeds 0 and 1, 2 and 3, and so on.",
    )
    path_step: float = Field(
        1e-4, ge=1e-5, le=0.1, description="Step of a path length, as a fraction of the way between two latents."
    )
    rows: int = Field(4, ge=1, le=64, description="Rows of interpolated images; row R goes from seed R to seed R+1.")
    frames: int = Field(9, ge=2, le=64, description="Images in each of these rows, both ends included.")
    evaluation: EvaluationConfig = EvaluationConfig()


class NoiseChoice(Settings):
    """Conditions under which circuits run."""

    shots: str = Field(
        "256,1024,4096,16384", pattern=_NUMBERS, description="Numbers of shots on an ideal device, as a list."
    )
    devices: str = Field(
        "fez,torino,brisbane",
        pattern=r"^[A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*$",
        description="Devices whose noise is simulated, from IBM's snapshots, as a list.",
    )
    levels: str = Field(
        "0,1,2", pattern=r"^[012](,[012])*$", description="Resilience levels on each device, as a list of 0, 1 and 2."
    )

    @field_validator("shots")
    @classmethod
    def _check_shots(cls, value: str) -> str:
        if not all(1 <= number <= 1_000_000 for number in _numbers(value)):
            raise ValueError("shots are between 1 and 1000000")
        return value

    def shot_numbers(self) -> tuple[int, ...]:
        """Return the numbers of shots, rising, each once."""
        return _numbers(self.shots)

    def device_names(self) -> tuple[str, ...]:
        """Return the devices, in the order given, each once."""
        return tuple(dict.fromkeys(name.casefold().removeprefix("fake_") for name in self.devices.split(",")))

    def resilience_levels(self) -> tuple[int, ...]:
        """Return the levels, rising, each once."""
        return _numbers(self.levels)


class NoiseConfig(Settings):
    """What all conditions of a noise study share."""

    number: int = Field(500, ge=2, le=100_000, description="Images of each condition: seeds 0 to N-1.")
    device_shots: int = Field(4096, ge=1, le=1_000_000, description="Shots on the devices.")
    shot_seed: int = Field(0, ge=0, lt=2**31, description=_HARDWARE["shot_seed"].description)
    processes: int | None = Field(None, ge=1, le=1024, description=_HARDWARE["processes"].description)
    evaluation: EvaluationConfig = EvaluationConfig(metrics="fid")

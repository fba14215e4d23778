"""Presets: functions that return a whole configuration, by model and name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from qgan_qiskit.config import (
    DataConfig,
    DcganConfig,
    HybridQConfig,
    MediqConfig,
    MosaiqConfig,
    QgpatchConfig,
    RunConfig,
    TrainingConfig,
    TransferConfig,
)
from qgan_qiskit.errors import UsageError


def hybridq_default() -> RunConfig:
    """Return what makes the best images of real lesions in our trials.

    Small batches and high rates that fall toward 0 over the last 60 % of the run; expectations steer every stage of the
    decoder; the discriminator sees how much images vary. How each was chosen: docs/results/hybridq_levers.
    """
    return RunConfig(
        preset="default",
        model=HybridQConfig(decoder="modulated", minibatch_std=True),
        training=TrainingConfig(batch_size=16, lr_classical=1e-3, lr_discriminator=4e-4, lr_decay_from=0.4),
    )


def hybridq_quick() -> RunConfig:
    """Return a narrow HybridQ for a first look: same circuits, a discriminator and decoder of half the width."""
    return RunConfig(
        preset="quick",
        model=HybridQConfig(decoder_width=64, discriminator_width=32),
        training=TrainingConfig(epochs=50, ema_decay=0.99, grid_every=100),
    )


def hybridq_paper() -> RunConfig:
    """Return the literal reading of arXiv 2506.21015v1, section 3 and 4.1; where it is silent, DCGAN's habits.

    3.692M parameters in all (the paper says 3.7M), Adam at 0.3 (quantum), 2e-4 (encoder and decoder) and 2e-3
    (discriminator), 100 epochs, adaptive noise, latents of real images fused with noise.
    """
    return RunConfig(
        preset="paper",
        model=HybridQConfig(mode="fusion", decoder="paper", discriminator_width=64, latent_range="adaptive"),
        data=DataConfig(augment="none"),
        training=TrainingConfig(epochs=100, lr_quantum=0.3, lr_classical=2e-4, lr_discriminator=2e-3),
    )


def dcgan_default() -> RunConfig:
    """Return DCGAN in the usual tutorial sizes and rates: 6,342,272 parameters."""
    return RunConfig(preset="default", model=DcganConfig(), training=TrainingConfig(lr_classical=2e-4))


def dcgan_matched() -> RunConfig:
    """Return DCGAN trained as HybridQ's default is: batches, rates, averages, turns of the images, what its critic sees."""
    return hybridq_default().model_copy(update={"preset": "matched", "model": DcganConfig(minibatch_std=True)})


def mosaiq_default() -> RunConfig:
    """Return MosaiQ at HybridQ's 10x10 circuits on 64x64 color images, with rates that train there: 8,121 parameters.

    With the published rates (preset ``scaled``) the discriminator wins on lesions within a thousand steps, in our trials.
    """
    return RunConfig(
        preset="default",
        model=MosaiqConfig(latent_range="fixed", latent_high=3.141592653589793),
        data=DataConfig(augment="none"),
        training=TrainingConfig(
            epochs=100, batch_size=32, r1_weight=1.0, ema_decay=0.0, precision="fp32", snap=1000, grid_every=1000
        ),
    )


def mosaiq_paper() -> RunConfig:
    """Return MosaiQ as its code has it: 8x5 circuits on 28x28 gray images of one class, 240 + 3,681 = 3,921 parameters."""
    return RunConfig(
        preset="paper",
        model=MosaiqConfig(sub_generators=8, num_qubits=5),
        data=DataConfig(resolution=28, color="grayscale", augment="none"),
        training=_mosaiq_published(),
    )


def mosaiq_scaled() -> RunConfig:
    """Return MosaiQ as HybridQ's paper scales it (section 4.1): 10x10 circuits on 64x64 color images, published rates."""
    return RunConfig(
        preset="scaled", model=MosaiqConfig(), data=DataConfig(augment="none"), training=_mosaiq_published()
    )


def _mosaiq_published() -> TrainingConfig:
    """SGD at 0.3 and 0.05, batches of 8, 500 passes (arXiv 2308.11096, mosaiq.py); samples from the weights as they are."""
    return TrainingConfig(
        epochs=500,
        batch_size=8,
        optimizer="sgd",
        lr_quantum=0.3,
        lr_discriminator=0.05,
        ema_decay=0.0,
        precision="fp32",
        snap=5000,
        grid_every=5000,
        log_every=100,
    )


def mediq_default() -> RunConfig:
    """Return MediQ-GAN with its small decoder, trained as HybridQ's default is, against DCGAN's discriminator told the class.

    One update of the critic for each of the generator: a step takes 16 real images, as published 30.
    """
    model = MediqConfig(angle_norm="layer", decoder_norm="batch", critic="dcgan", critic_width=48, minibatch_std=True)
    return RunConfig(preset="default", model=model, training=hybridq_default().training)


def mediq_style2() -> RunConfig:
    """Return MediQ-GAN with its small decoder, skips from the prototypes to the decoder's scales (ours), and published rates."""
    return RunConfig(preset="style2", model=MediqConfig(), training=_mediq_published())


def mediq_paper() -> RunConfig:
    """Return MediQ-GAN as its authors' code has it for ISIC (mediq-gan.py): wide decoder, no skips, no turned images.

    WGAN-GP at weight 10, three critic updates, batches of 10, 200 passes; rates 0.3 (quantum), 1e-4 and 2e-4 (critic).
    """
    return RunConfig(
        preset="paper",
        model=MediqConfig(decoder="vanilla", prototype_skips=False),
        data=DataConfig(augment="none"),
        training=_mediq_published(epochs=200, ema_decay=0.0),
    )


def _mediq_published(**changes: Any) -> TrainingConfig:
    published = {
        "batch_size": 10,
        "critic_steps": 3,
        "loss": "wgan-gp",
        "lr_quantum": 0.3,
        "lr_classical": 1e-4,
        "lr_discriminator": 2e-4,
        "beta1_discriminator": 0.0,
        "beta2_discriminator": 0.9,
        "precision": "fp32",
    }
    return TrainingConfig(**{**published, **changes})


def transfer_default() -> RunConfig:
    """Return the GAN with circuits in both networks, trained as HybridQ's default is, with bce and a frozen backbone.

    Angles of the discriminator's block do not level off: with tanh all of them ended where it is flat, and nothing learned.
    """
    model = TransferConfig(head_angles="linear")
    return hybridq_default().model_copy(update={"preset": "default", "model": model})


def transfer_configuration(quantum: Literal["none", "generator", "discriminator"]) -> Callable[[], RunConfig]:
    """Return a preset with circuits elsewhere; all else is the default's."""

    def preset_of() -> RunConfig:
        base = transfer_default()
        return base.model_copy(update={"preset": quantum, "model": base.model.model_copy(update={"quantum": quantum})})

    return preset_of


def transfer_unfrozen() -> RunConfig:
    """Return the classical GAN (``none``) as it learns best in our trials: MobileNetV2's last six stages learn, too.

    What suits circuits in the discriminator, a frozen backbone, does not suit the classical block, and the other way round.
    """
    base = transfer_configuration("none")()
    model = base.model.model_copy(update={"backbone": "mobilenet_v2", "trained_stages": 6})
    return base.model_copy(update={"preset": "unfrozen", "model": model})


_DIGITS = DataConfig(path="sklearn:digits", resolution=8, color="grayscale", augment="none")


def qgpatch_default() -> RunConfig:
    """Return QGPatch on 8x8 digits with the paper's circuits, read-out and rates, and what makes them train steadily.

    100 angles and a discriminator of 5,217 parameters. Ours: noise up to 1 radian instead of pi, and the R1 penalty.
    """
    return RunConfig(
        preset="default",
        model=QgpatchConfig(latent_high=1.0),
        data=_DIGITS,
        training=_qgpatch_published(steps=1000, batch_size=32, r1_weight=1.0),
    )


def qgpatch_paper() -> RunConfig:
    """Return QGPatch as published (appendix B): noise up to pi, rates 0.05 and 0.001, 350 steps.

    Where the paper is silent: Adam, batches of 8.
    """
    return RunConfig(preset="paper", model=QgpatchConfig(), data=_DIGITS, training=_qgpatch_published(steps=350))


def qgpatch_tutorial() -> RunConfig:
    """Return the variant of PennyLane's tutorial: patches divided by their largest, 6 layers, noise up to pi/2, SGD."""
    return RunConfig(
        preset="tutorial",
        model=QgpatchConfig(patch_readout="tutorial", reps=6, latent_high=1.5707963267948966),
        data=_DIGITS,
        training=_qgpatch_published(steps=500, optimizer="sgd", lr_quantum=0.3, lr_discriminator=0.01),
    )


def qgpatch_unnormalised() -> RunConfig:
    """Return the default with probabilities that are not divided by that of the ancilla, so patches can be dark."""
    return RunConfig(
        preset="unnormalised",
        model=QgpatchConfig(patch_readout="unnormalised", latent_high=1.0),
        data=_DIGITS,
        training=_qgpatch_published(steps=1000, batch_size=32, r1_weight=1.0),
    )


def _qgpatch_published(**changes: Any) -> TrainingConfig:
    """Rates 0.05 and 0.001 (arXiv 2010.06201, appendix B) with changes; samples from the weights as they are."""
    published = {"batch_size": 8, "lr_quantum": 0.05, "lr_discriminator": 0.001, "ema_decay": 0.0, "precision": "fp32"}
    return TrainingConfig(**{**published, **changes})


PRESETS: dict[str, dict[str, Callable[[], RunConfig]]] = {
    "hybridq": {"default": hybridq_default, "quick": hybridq_quick, "paper": hybridq_paper},
    "dcgan": {"default": dcgan_default, "matched": dcgan_matched},
    "mosaiq": {"default": mosaiq_default, "paper": mosaiq_paper, "scaled": mosaiq_scaled},
    "mediq": {"default": mediq_default, "style2": mediq_style2, "paper": mediq_paper},
    "transfer": {
        "default": transfer_default,
        "none": transfer_configuration("none"),
        "generator": transfer_configuration("generator"),
        "discriminator": transfer_configuration("discriminator"),
        "unfrozen": transfer_unfrozen,
    },
    "qgpatch": {
        "default": qgpatch_default,
        "paper": qgpatch_paper,
        "tutorial": qgpatch_tutorial,
        "unnormalised": qgpatch_unnormalised,
    },
}


def preset(model: str, name: str) -> RunConfig:
    """Return a model's preset.

    Raises:
        UsageError: there is no such model or preset; the message lists them.
    """
    if model not in PRESETS:
        raise UsageError(f"--model '{model}': no such model; there are {', '.join(PRESETS)}")
    if name not in PRESETS[model]:
        raise UsageError(f"--preset '{name}': {model} has {', '.join(PRESETS[model])}")
    return PRESETS[model][name]()

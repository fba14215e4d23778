"""All settings of a run together, and the combinations that do not fit."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from qgan_qiskit.config.base import Settings
from qgan_qiskit.config.data import DataConfig
from qgan_qiskit.config.evaluation import EvaluationConfig
from qgan_qiskit.config.models import DcganConfig, HybridQConfig, MediqConfig, ModelConfig, TransferConfig, check_shape
from qgan_qiskit.config.training import TrainingConfig


class RunConfig(Settings):
    """Everything that decides a run; ``config.json`` of its folder."""

    format: Literal[1] = 1
    preset: str = "default"
    model: ModelConfig = HybridQConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _check_combinations(self) -> RunConfig:
        model, training = self.model, self.training
        check_shape(model, self.data)
        has_batch_norm = (
            getattr(model, "discriminator_norm", None) == "batch" and getattr(model, "mode", "image") != "latent"
        )
        if training.loss == "wgan-gp" and has_batch_norm:
            raise ValueError(
                "training.loss 'wgan-gp' penalises the gradient of each image, which batch norm mixes: "
                "use model.discriminator_norm 'spectral' with it"
            )
        if training.loss == "wgan-gp" and getattr(model, "critic", "projection") == "dcgan":
            raise ValueError(
                "training.loss 'wgan-gp' penalises the gradient of each image, which batch norm mixes: "
                "use model.critic 'projection' with it"
            )
        if training.loss == "wgan-gp" and isinstance(model, TransferConfig) and model.weights is None:
            raise ValueError(
                "training.loss 'wgan-gp' penalises the gradient of each image, which batch norm mixes: "
                "a backbone that starts from scratch has it; name model.weights"
            )
        if getattr(model, "latent_range", "fixed") == "adaptive" and training.loss != "bce":
            raise ValueError(
                "model.latent_range 'adaptive' needs training.loss 'bce' (the bound is a ratio of its two losses), "
                f"not '{training.loss}'"
            )
        compares_images = isinstance(model, (DcganConfig, MediqConfig, TransferConfig)) or getattr(
            model, "mode", None
        ) in ("image", "fusion")
        if (
            isinstance(model, TransferConfig)
            and model.quantum in ("discriminator", "both")
            and (training.loss == "wgan-gp" or training.r1_weight)
        ):
            raise ValueError(
                "training.loss 'wgan-gp' and training.r1_weight differentiate the discriminator twice, which its circuit cannot: "
                "use another loss, or model.quantum 'none' or 'generator'"
            )
        if isinstance(model, TransferConfig) and model.trained_stages > 5 and model.backbone != "mobilenet_v2":
            raise ValueError(
                f"model.trained_stages is {model.trained_stages}, and model.backbone {model.backbone} has 5"
            )
        if isinstance(model, MediqConfig) and model.minibatch_std and model.critic != "dcgan":
            raise ValueError(f"model.minibatch_std is for model.critic 'dcgan', not '{model.critic}'")
        if isinstance(model, MediqConfig) and model.angle_norm == "layer" and model.num_qubits == 1:
            raise ValueError("model.angle_norm 'layer' makes the only angle of a circuit 0: take more model.num_qubits")
        if isinstance(model, MediqConfig) and model.decoder_norm != "none" and model.decoder != "style2":
            raise ValueError(
                f"model.decoder_norm '{model.decoder_norm}' is for model.decoder 'style2', not '{model.decoder}'"
            )
        if training.diff_augment != "none" and not compares_images:
            raise ValueError(
                f"training.diff_augment changes color images, and the discriminator of {model.name}"
                + (" in model.mode 'latent'" if isinstance(model, HybridQConfig) else "")
                + " sees none"
            )
        if training.batch_size % training.devices:
            raise ValueError(
                f"training.batch_size is {training.batch_size}, which {training.devices} devices cannot share equally: "
                f"take a multiple of {training.devices}"
            )
        if (
            training.devices > 1
            and getattr(model, "minibatch_std", False)
            and training.batch_size // training.devices % 4
        ):
            raise ValueError(
                f"model.minibatch_std compares images in groups of 4, which {training.devices} devices cannot share out of "
                f"training.batch_size {training.batch_size}: take a multiple of {4 * training.devices}"
            )
        if self.evaluation.metrics != "none" and self.evaluation.fid_weights is None:
            needing = [name for name in self.evaluation.names() if name not in ("ssim", "ms-ssim")]
            if needing:
                raise ValueError(
                    f"evaluation.metrics {','.join(needing)} needs evaluation.fid_weights, a file of Inception weights"
                )
        if isinstance(model, HybridQConfig):
            if model.latent_range == "adaptive" and model.mode == "latent":
                raise ValueError("model.latent_range 'adaptive' needs model.mode 'image' or 'fusion', not 'latent'")
            for field in ("input_names", "weight_names"):
                if getattr(model, field) is not None and model.ansatz is None:
                    raise ValueError(f"model.{field} names parameters of model.ansatz, which is not given")
            if model.ansatz is not None and model.classical_baseline:
                raise ValueError(
                    "model.classical_baseline replaces the circuits, so it cannot be used with model.ansatz"
                )
        return self

    def updated(self, changes: dict[str, dict[str, Any]]) -> RunConfig:
        """Return a new, checked configuration with ``{"training": {"seed": 1}}``-like changes applied."""
        dump = self.model_dump()
        for section, fields in changes.items():
            dump[section] = {**dump[section], **fields} if isinstance(fields, dict) else fields
        return RunConfig.model_validate(dump)

"""GANs with transfer learning (arXiv 2507.09706): a small block, classical or quantum, in generator and discriminator.

The generator's block turns a short latent into as many numbers, which upsampling convolutions make an image of. The discriminator
looks through a pretrained network, and a dressed circuit (Mari et al. 2020, Quantum 4, 340) judges what it saw: linear, circuit,
linear. A classical block has exactly as many weights as a quantum one.

What the paper leaves open is decided here: the circuit is RY of the inputs, then three times RY and a ladder of CX, read by Z;
inputs of the discriminator's circuit are pi/2 + x of the linear layer's x, or pi/2 (1 + tanh x) as in the dressed circuit; the
pretrained network keeps its batch-norm statistics, and learns in its last stages only, if asked to.

Shape letters: B batch · Z latent size and qubits · F features of the backbone · C H W image.
"""

from __future__ import annotations

import math

import torch
from qiskit.primitives import BaseEstimatorV2
from torch import Tensor, nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import TransferConfig
from qgan_qiskit.models.backbones import HEADS, WIDTHS, build_backbone, without_head
from qgan_qiskit.models.base import QuantumGenerator
from qgan_qiskit.models.classical_baseline import MatchedClassicalBlock
from qgan_qiskit.models.decoders import UpsampleDecoder
from qgan_qiskit.models.layers import he_initialize
from qgan_qiskit.qnn import SubGenerators

# ImageNet's colors, which torchvision's own weights expect of pixels from 0 to 1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# All of these backbones halve an image five times: below this side, convolutions halve what is one pixel already.
_LEAST_HALVED = 32


class TransferGenerator(QuantumGenerator):
    """Latent angles -> block -> 4x4 -> upsampling convolutions -> image.

    Attributes:
        decoder: what the block says, to an image.
    """

    def __init__(
        self,
        config: TransferConfig,
        resolution: int,
        generator: torch.Generator,
        estimator: BaseEstimatorV2 | None = None,
        channels: int = 3,
    ) -> None:
        """Build and initialize.

        Args:
            config: sizes, and which blocks are quantum.
            resolution: side of the images: a power of two, at least 16.
            generator: source of the initial weights.
            estimator: what evaluates the circuit; None for the exact simulator.
            channels: C, of the images.
        """
        super().__init__(config.latent_high)
        self.latent_size = config.num_qubits
        classical_baseline = config.quantum not in ("generator", "both")
        self.add_sub_generators(
            build_circuit_spec(config), 1, generator, classical_baseline=classical_baseline, estimator=estimator
        )
        self.decoder = UpsampleDecoder(config.num_qubits, config.decoder_width, resolution, generator, channels)

    def sample_latent(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw z ~ U[0, latent_high) radians, shape (count, Z)."""
        return self.uniform_latent(count, self.latent_size, generator)

    def forward(self, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1]."""
        return self.decoder(self.expectations(z_BZ[:, None]).flatten(1))


class TransferDiscriminator(nn.Module):
    """Pretrained features -> linear -> block -> linear -> logit.

    Attributes:
        backbone: images to features (B, F).
        block: the circuit, or its classical baseline.
        from_scratch: layers of the backbone that the weights file lacks, which therefore learn.
    """

    def __init__(
        self,
        config: TransferConfig,
        generator: torch.Generator,
        estimator: BaseEstimatorV2 | None = None,
        channels: int = 3,
    ) -> None:
        """Build and initialize.

        Args:
            config: backbone, its weights, and which blocks are quantum.
            generator: source of the initial weights.
            estimator: what evaluates the circuit; None for the exact simulator.
            channels: C, of the images; gray ones are shown as three equal channels.

        Raises:
            DataError: the weights cannot be used.
            UsageError: fewer stages than are to learn.
        """
        super().__init__()
        self.config, self.channels = config, channels
        # Fresh layers draw from torch's own random numbers.
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        network, start = build_backbone(config.backbone, 1, config.weights, config.resnet_stride)
        head = HEADS[config.backbone].partition(".")[0]
        self.from_scratch = tuple(name for name in start.from_scratch if name.partition(".")[0] != head)
        self.backbone = without_head(network, config.backbone)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(self._learns(name))
        ansatz = build_circuit_spec(config)
        qubits = config.num_qubits
        self.reduce = nn.Linear(WIDTHS[config.backbone], qubits)
        self.score = nn.Linear(ansatz.num_observables, 1)
        # Features of a pretrained network are of order one: angles then start over much of the circuit's range.
        he_initialize(self.reduce, generator)
        he_initialize(self.score, generator)
        if config.head_angles == "linear":
            with torch.no_grad():
                # About half a radian to either side of pi/2.
                self.reduce.weight.mul_(0.25)
        self.block: nn.Module
        if config.quantum in ("discriminator", "both"):
            self.block = SubGenerators(ansatz, 1, estimator, generator=generator)
        else:
            # A circuit is as steep at any angle. A classical baseline of unlimited inputs that
            # ends in tanh is flat for most of them, where no
            # gradient gets through; nothing behind it needs limits.
            self.block = MatchedClassicalBlock(
                qubits,
                ansatz.num_observables,
                ansatz.num_weights,
                1,
                generator,
                bounded=config.head_angles == "tanh",
            )
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        # Nothing else switches a new discriminator to either mode.
        self.train()

    def _learns(self, name: str) -> bool:
        """Return whether a weight of the backbone is trained: its last stages, and what starts from scratch."""
        if self._is_fresh(name):
            return True
        stages = _stages(self.config.backbone)
        learning = stages[len(stages) - self.config.trained_stages :] if self.config.trained_stages else []
        return any(name.startswith(f"{stage}.") for stage in learning)

    def _is_fresh(self, name: str) -> bool:
        """Return whether a layer or weight of the backbone starts from scratch."""
        return self.from_scratch == ("all layers",) or any(
            f"{name}.".startswith(f"{layer.removesuffix(' (in part)')}.") for layer in self.from_scratch
        )

    def train(self, mode: bool = True) -> TransferDiscriminator:
        """Switch to training; batch norms that were pretrained keep their statistics all the same."""
        super().train(mode)
        for name, layer in self.backbone.named_modules():
            if isinstance(layer, nn.BatchNorm2d) and not self._is_fresh(name):
                layer.eval()
        return self

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the block, trained as the generator's are."""
        return list(self.block.parameters())

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return what the backbone sees in images in [-1, 1], (B, F)."""
        if self.channels == 1:
            images_BCHW = images_BCHW.expand(-1, 3, -1, -1)
        size = self.config.input_size
        if size is not None and size != images_BCHW.shape[-1]:
            images_BCHW = nn.functional.interpolate(
                images_BCHW, size=(size, size), mode="bilinear", align_corners=False
            )
        if self.config.normalization == "imagenet":
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            images_BCHW = ((images_BCHW + 1) / 2 - mean) / deviation
        if images_BCHW.shape[-1] >= _LEAST_HALVED:
            return self.backbone(images_BCHW)
        # Of a padded 3x3 kernel that halves one pixel only the middle sees anything. oneDNN 3.12 leaves the other gradients
        # as they lay in memory if the numbers are bfloat16 and the processor has AMX.
        with torch.autocast(images_BCHW.device.type, enabled=False):
            return self.backbone(images_BCHW.to(self.reduce.weight.dtype))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B,): positive for real."""
        reduced = self.reduce(self.features(images_BCHW))
        with torch.autocast(reduced.device.type, enabled=False):
            reduced = reduced.float()
            # Around pi/2, where the classical baseline is centered and RY is steepest in Z.
            linear = self.config.head_angles == "linear"
            angles = math.pi / 2 + reduced if linear else math.pi / 2 * (1 + torch.tanh(reduced))
            judged = self.block(angles[:, None])
        return self.score(judged.flatten(1)).flatten()


def _stages(backbone: str) -> list[str]:
    """Return the backbone's stages, from the image on."""
    if backbone == "mobilenet_v2":
        return [f"features.{number}" for number in range(19)]
    return ["conv1", "layer1", "layer2", "layer3", "layer4"]

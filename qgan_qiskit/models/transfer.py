"""GANs with transfer learning (arXiv 2507.09706): a small block, classical or quantum, in generator and discriminator.

The generator's block turns a short latent into as many numbers, from which upsampling convolutions make an image. The
discriminator is a pretrained network and a dressed circuit (Mari et al. 2020, Quantum 4, 340): linear, circuit, linear. A
classical block has exactly as many weights as a quantum one.

What the paper leaves open is decided here: the circuit is RY of the inputs, then three times RY and a ladder of CX, read by Z;
inputs of the discriminator's circuit are pi/2 + x of the linear layer's x, or pi/2 (1 + tanh x) as in the dressed circuit; the
pretrained network keeps its batch-norm statistics, and trains in its last stages only, if asked to.

Shape letters: B batch · Z latent size and qubits · F features of the backbone · O observables · C H W image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import TransferConfig
from qgan_qiskit.config.models.transfer import BACKBONE_STAGES
from qgan_qiskit.models.backbones import FEATURE_SIZES, HEADS, IMAGENET_MEAN, IMAGENET_STD, build_backbone, remove_head
from qgan_qiskit.models.base import BuildContext, Discriminator, Generator, QuantumGenerator, build_block
from qgan_qiskit.models.decoders import UpsampleDecoder
from qgan_qiskit.models.layers import he_initialize

# All of these backbones halve an image five times: below this side, strided convolutions get single pixels.
_MIN_HALVED_SIDE = 32


class TransferGenerator(QuantumGenerator):
    """Latent angles -> block -> 4x4 -> upsampling convolutions -> image.

    Attributes:
        decoder: outputs of the block to an image.
    """

    def __init__(self, config: TransferConfig, context: BuildContext) -> None:
        """Build and initialize; the resolution is a power of two, at least 16."""
        super().__init__(config.latent_high)
        self.latent_size = config.num_qubits
        self.add_circuits(build_circuit_spec(config), 1, context, quantum=config.quantum_generator)
        self.decoder = UpsampleDecoder(config.num_qubits, config.decoder_width, context)

    def encode(self, z_BZ: Tensor) -> Tensor:
        """Return the inputs (B, 1, Z) of the one circuit in radians."""
        return z_BZ[:, None]

    def decode(self, expectations_B1O: Tensor, z_BZ: Tensor) -> Tensor:
        """Return the images (B, C, H, W) in [-1, 1] that the circuit's outputs give."""
        return self.decoder(expectations_B1O.flatten(1))


class TransferDiscriminator(Discriminator):
    """Pretrained features -> linear -> block -> linear -> logit.

    Attributes:
        backbone: images to features (B, F).
        block: the circuit, or its classical baseline.
        from_scratch: layers of the backbone that the weights file lacks, which therefore train.
    """

    def __init__(self, config: TransferConfig, context: BuildContext) -> None:
        """Build and initialize; gray images are shown to the backbone as three equal channels.

        Raises:
            DataError: the weights cannot be used.
        """
        super().__init__()
        self.config, self.channels, random = config, context.channels, context.random
        # Fresh layers draw from torch's global random numbers.
        torch.manual_seed(int(torch.randint(2**62, (), generator=random)))
        network, start = build_backbone(config.backbone, 1, config.weights, config.resnet_stride)
        head = HEADS[config.backbone].partition(".")[0]
        self.from_scratch = tuple(name for name in start.from_scratch if name.partition(".")[0] != head)
        self.backbone = remove_head(network, config.backbone)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(self._is_trained(name))
        spec = build_circuit_spec(config)
        self.reduce = nn.Linear(FEATURE_SIZES[config.backbone], config.num_qubits)
        self.score = nn.Linear(spec.num_observables, 1)
        # Features of a pretrained network are of order one: angles then start over much of the circuit's range.
        he_initialize(self.reduce, random)
        he_initialize(self.score, random)
        if config.head_angles == "linear":
            with torch.no_grad():
                # About half a radian to either side of pi/2.
                self.reduce.weight.mul_(0.25)
        # A circuit is equally steep at any angle. A classical block that ends in tanh is flat for most of unlimited inputs, and
        # passes no gradient there; nothing behind it needs limits.
        bounded = config.head_angles == "tanh"
        self.block = build_block(spec, 1, context, quantum=config.quantum_discriminator, bounded=bounded)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        # Freezes the pretrained batch norms of a new discriminator.
        self.train()

    def _is_trained(self, name: str) -> bool:
        """Return whether a weight of the backbone is trained: its last stages, and what starts from scratch."""
        if self._is_fresh(name):
            return True
        stages, trained = _stages(self.config.backbone), self.config.trained_stages
        return any(name.startswith(f"{stage}.") for stage in stages[len(stages) - trained :])

    def _is_fresh(self, name: str) -> bool:
        """Return whether a layer or weight of the backbone starts from scratch."""
        return self.from_scratch == ("all layers",) or any(
            f"{name}.".startswith(f"{layer.removesuffix(' (in part)')}.") for layer in self.from_scratch
        )

    def train(self, mode: bool = True) -> TransferDiscriminator:
        """Switch to training; pretrained batch norms keep their statistics all the same."""
        super().train(mode)
        for name, layer in self.backbone.named_modules():
            if isinstance(layer, nn.BatchNorm2d) and not self._is_fresh(name):
                layer.eval()
        return self

    def quantum_parameters(self) -> list[nn.Parameter]:
        """Return the weights of the block, which train as the generator's do."""
        return list(self.block.parameters())

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return the backbone's features (B, F) of images in [-1, 1]."""
        if self.channels == 1:
            images_BCHW = images_BCHW.expand(-1, 3, -1, -1)
        size = self.config.input_size
        if size is not None and size != images_BCHW.shape[-1]:
            images_BCHW = nn.functional.interpolate(
                images_BCHW, size=(size, size), mode="bilinear", align_corners=False
            )
        if self.config.normalization == "imagenet":
            images_BCHW = ((images_BCHW + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        if images_BCHW.shape[-1] >= _MIN_HALVED_SIDE:
            return self.backbone(images_BCHW)
        # Of a padded 3x3 kernel that halves one pixel only the middle sees anything. oneDNN 3.12 leaves the other gradients
        # uninitialized if the numbers are bfloat16 and the processor has AMX.
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
            outputs_B1O = self.block(angles[:, None])
        return self.score(outputs_B1O.flatten(1)).flatten()


def _stages(backbone: str) -> list[str]:
    """Return the names of the backbone's stages, from the image on."""
    if backbone == "mobilenet_v2":
        return [f"features.{number}" for number in range(BACKBONE_STAGES[backbone])]
    return ["conv1", "layer1", "layer2", "layer3", "layer4"]


def build(config: TransferConfig, context: BuildContext) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator, initialized."""
    return TransferGenerator(config, context), TransferDiscriminator(config, context)

"""MosaiQ (Silver et al. 2023, arXiv 2308.11096): latent -> angles -> circuits -> principal components -> image.

Written from the paper's idea: the authors' code at its head cuts the generator's gradient, mixes features across the images of
a batch and does not undo the scaling of the scores.

Shape letters: B batch · N real images · Z latent size · P sub-generators · Q qubits · F = P * Q components · D numbers of
an image · C H W image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from qgan_qiskit.circuits import build_circuit_spec
from qgan_qiskit.config import MosaiqConfig
from qgan_qiskit.errors import DataError
from qgan_qiskit.models.base import BuildContext, Discriminator, DiscriminatorBatch, Generator, QuantumGenerator
from qgan_qiskit.models.discriminators import DenseDiscriminator

# Up to this many numbers in an image the covariance matrix is diagonalized, which is exact; beyond, a randomized search for the
# leading components (Halko et al. 2011) with this many power iterations, from a fixed start.
_EXACT_SIZE, _POWER_ITERATIONS = 1024, 7
# Images scored at a time.
_BLOCK = 256


class PrincipalComponents(nn.Module):
    """Images to scaled scores and back; everything that is fitted is in buffers.

    Scores are scaled to [-1, 1] by the smallest and the largest of all scores of the fitted images: one factor for all
    components, so a late component keeps its small spread.

    Attributes:
        mean_D: mean image.
        axes_FD: components, orthonormal rows, largest variance first.
        lowest: smallest score, a scalar.
        highest: largest score, a scalar; above ``lowest`` once fitted.
    """

    mean_D: Tensor
    axes_FD: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, count: int, size: int) -> None:
        """Create empty buffers for F = ``count`` components and D = ``size`` numbers of an image."""
        super().__init__()
        self.register_buffer("mean_D", torch.zeros(size))
        self.register_buffer("axes_FD", torch.zeros(count, size))
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("highest", torch.zeros(()))

    def validate(self, pixels_ND: np.ndarray) -> None:
        """Refuse images (N, D) that do not have as many components.

        Raises:
            DataError: there are not more images than components, or all are equal.
        """
        count = len(self.axes_FD)
        if len(pixels_ND) <= count:
            raise DataError(
                f"{count} principal components need more than {count} images, there are {len(pixels_ND):,}: give more "
                "images, or take fewer with --sub-generators or --num-qubits"
            )
        if (pixels_ND == pixels_ND[0]).all():
            raise DataError(f"all {len(pixels_ND):,} images are equal, so they have no components: check the data")

    def fit(self, pixels_ND: np.ndarray) -> None:
        """Fit mean, components and range of scores to images; the same images give the same numbers.

        Args:
            pixels_ND: uint8, rows are flattened (C, H, W) images; not changed. Needs about four (small images: eight)
                bytes of memory per number.

        Raises:
            DataError: there are not more images than components, or all are equal.
        """
        from sklearn.decomposition import PCA

        self.validate(pixels_ND)
        small = pixels_ND.shape[1] <= _EXACT_SIZE
        pca = PCA(
            len(self.axes_FD),
            copy=False,
            svd_solver="covariance_eigh" if small else "randomized",
            iterated_power=_POWER_ITERATIONS,
            random_state=0,
        )
        # In single precision the covariance would lose the late components to the mean's square.
        pca.fit(_to_unit(pixels_ND, np.float64 if small else np.float32))
        self.mean_D.copy_(torch.from_numpy(pca.mean_))
        self.axes_FD.copy_(torch.from_numpy(pca.components_))
        blocks = [pixels_ND[start : start + _BLOCK] for start in range(0, len(pixels_ND), _BLOCK)]
        scores = torch.cat(
            [self._scores(torch.from_numpy(_to_unit(block, np.float32)).to(self.mean_D.device)) for block in blocks]
        )
        self.lowest.copy_(scores.min())
        self.highest.copy_(scores.max())

    def scaled_scores(self, images_BCHW: Tensor) -> Tensor:
        """Return scaled scores (B, F) of images in [-1, 1]; those of the fitted images are in [-1, 1]."""
        self._require_fit()
        with torch.autocast(images_BCHW.device.type, enabled=False):
            scores = self._scores(images_BCHW.float().flatten(1))
            return 2 * (scores - self.lowest) / (self.highest - self.lowest) - 1

    def flat_images(self, scaled_BF: Tensor) -> Tensor:
        """Return the images (B, D) of scaled scores; values outside of [-1, 1] are not clipped."""
        self._require_fit()
        with torch.autocast(scaled_BF.device.type, enabled=False):
            scores = self.lowest + (scaled_BF.float() + 1) / 2 * (self.highest - self.lowest)
            return self.mean_D + scores @ self.axes_FD

    def _scores(self, flat_BD: Tensor) -> Tensor:
        return (flat_BD - self.mean_D) @ self.axes_FD.T

    def _require_fit(self) -> None:
        if self.highest <= self.lowest:
            raise RuntimeError("the principal components are not fitted: call fit_to_data() or load a checkpoint first")


def _to_unit(pixels_ND: np.ndarray, kind: type[np.floating]) -> np.ndarray:
    """Convert uint8 to floats: 0 -> -1, 255 -> 1."""
    values = pixels_ND.astype(kind)
    values /= 127.5
    values -= 1
    return values


def assign_components(sub_generators: int, num_qubits: int) -> Tensor:
    """Return which component each output makes, int64 (P, Q): one strong component per sub-generator, the rest from the tail.

    Sub-generator i makes component i and the i-th block of Q - 1 components counted from the last one down. At 8x5 these
    are {i, 39-4i, 38-4i, 37-4i, 36-4i} as in the authors' code; for other sizes the paper says nothing.
    """
    first = torch.arange(sub_generators)[:, None]
    tail = torch.arange(sub_generators * num_qubits - 1, sub_generators - 1, -1).view(sub_generators, num_qubits - 1)
    return torch.cat([first, tail], dim=1)


class MosaiqGenerator(QuantumGenerator):
    """Circuits whose expectations are scaled principal-component scores of the real images.

    The discriminator compares scores, not images.

    Attributes:
        components: mean, components and range of the scores of the real images; see :meth:`fit_to_data`.
        output_of_F: for each component, which output of all sub-generators makes it.
    """

    output_of_F: Tensor

    def __init__(self, config: MosaiqConfig, context: BuildContext) -> None:
        """Build and initialize; color images have components of all three channels together."""
        super().__init__(config.latent_high, adaptive=config.adaptive_latent_range)
        self.image_shape = (context.channels, context.resolution, context.resolution)
        spec, count = build_circuit_spec(config), config.sub_generators
        self.add_circuits(spec, count, context, quantum=not config.classical_baseline)
        self.latent_size = spec.num_inputs * (1 if config.shared_latent else count)
        component_of = assign_components(count, spec.num_observables).flatten()
        self.register_buffer("output_of_F", component_of.argsort())
        self.components = PrincipalComponents(len(component_of), context.channels * context.resolution**2)

    def validate_data(self, images_NHWC: np.ndarray) -> None:
        """Refuse images without principal components; see the base class."""
        self.components.validate(self._pixels(images_NHWC))

    def fit_to_data(self, images_NHWC: np.ndarray) -> None:
        """Fit the principal components to the real images; see the base class."""
        self.components.fit(self._pixels(images_NHWC))

    def _pixels(self, images_NHWC: np.ndarray) -> np.ndarray:
        images_NCHW = images_NHWC[..., : self.image_shape[0]].transpose(0, 3, 1, 2)
        return images_NCHW.reshape(len(images_NHWC), -1)

    def encode(self, z_BZ: Tensor) -> Tensor:
        """Return the circuits' inputs (B, P, Q) in radians; a shared latent has Z = Q numbers for all sub-generators."""
        return z_BZ.view(len(z_BZ), -1, self.angles_shape[1]).expand(-1, *self.angles_shape)

    def scaled_scores(self, expectations_BPO: Tensor) -> Tensor:
        """Return scaled scores (B, F) in [-1, 1], the strongest component first."""
        return expectations_BPO.flatten(1)[:, self.output_of_F]

    def decode(self, expectations_BPO: Tensor, z_BZ: Tensor) -> Tensor:
        """Return images (B, C, H, W), clipped to [-1, 1]."""
        flat_BD = self.components.flat_images(self.scaled_scores(expectations_BPO))
        return flat_BD.clamp(-1, 1).unflatten(1, self.image_shape)

    def discriminator_inputs(self, real_BCHW: Tensor, z_BZ: Tensor) -> DiscriminatorBatch:
        """Return scaled scores (B, F) of real and of generated images."""
        fake_BF = self.scaled_scores(self.expectations(self.encode(z_BZ)))
        return DiscriminatorBatch(self.components.scaled_scores(real_BCHW), fake_BF)


def build(config: MosaiqConfig, context: BuildContext) -> tuple[Generator, Discriminator]:
    """Return the generator and the discriminator, initialized."""
    generator = MosaiqGenerator(config, context)
    return generator, DenseDiscriminator(config.sub_generators * config.num_qubits, context.random)

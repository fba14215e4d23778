"""The canvas of synthetic lesions: skin, light, hair, and the few patterns that lesions are painted with.

Coordinates x, y run from -1 to 1 over the image, lengths are in these units, colors are RGB from 0 to 1.
Shape letters: H W height and width, C color channels, G grid of noise, D dots, K skins.

Lesion-like images made by formulas: something to train on at once, without any data. They are no medical images.

Three classes with the textbook look of their namesakes: ``nevus`` (one round, even, brown spot), ``melanoma`` (uneven
border, two halves that differ, several colors), ``keratosis`` (sharp border, waxy, furrowed, with pale and dark dots).

Coordinates x, y run from -1 to 1 over the image, lengths are in these units, colors are RGB from 0 to 1.
Shape letters: N images, H W height and width, C color channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from qgan_qiskit.data.dataset import ImageSet


def _color(red: int, green: int, blue: int) -> np.ndarray:
    return np.array([red, green, blue], np.float32) / 255.0


SKINS_KC = np.stack(
    [
        _color(231, 196, 184),
        _color(226, 178, 160),
        _color(214, 160, 148),
        _color(203, 165, 140),
        _color(186, 142, 110),
    ]
)
TAN, BROWN, DARK_BROWN, BLACK = _color(176, 122, 82), _color(122, 74, 46), _color(70, 38, 26), _color(30, 20, 22)
RED, BLUE_GRAY, PALE = _color(176, 72, 70), _color(116, 118, 136), _color(224, 200, 196)
WAX, GRAY_BROWN, MILIUM = _color(196, 150, 92), _color(128, 106, 92), _color(240, 226, 196)
HAIR = _color(44, 30, 26)


class Canvas:
    """A picture in the making.

    Attributes:
        rng: source of all randomness of this picture.
        x_HW: coordinate to the right, -1 to 1.
        y_HW: coordinate downwards, -1 to 1.
        rgb_HWC: float32 colors.
    """

    def __init__(self, rng: np.random.Generator, resolution: int) -> None:
        self.rng = rng
        axis = ((np.arange(resolution, dtype=np.float32) + 0.5) / resolution) * 2 - 1
        self.x_HW, self.y_HW = np.meshgrid(axis, axis)
        self.rgb_HWC = np.zeros((resolution, resolution, 3), np.float32)

    def tint(self, cover_HW: np.ndarray, color_C: np.ndarray) -> None:
        """Lay a color over the picture where ``cover_HW`` (0 to 1) says so."""
        self.rgb_HWC += cover_HW[..., None] * (color_C - self.rgb_HWC)

    def noise(self, cells: int) -> np.ndarray:
        """Return smooth noise, 0 to 1, with about ``cells`` hills across the picture."""
        weights_HG = _cubic_weights(cells, len(self.x_HW))
        grid_GG = self.rng.random((weights_HG.shape[1],) * 2, dtype=np.float32)
        return np.clip(1.3 * (weights_HG @ grid_GG @ weights_HG.T) - 0.15, 0.0, 1.0)

    def blob(self, radius: float, roughness: float, stretch: float, ragged: float) -> np.ndarray:
        """Return the distance to a closed random border, negative inside.

        Args:
            radius: mean radius.
            roughness: size of the Fourier waves on the radius, which make lobes.
            stretch: length to width.
            ragged: size of the noise on the distance, which frays the border at all scales.
        """
        rng = self.rng
        x_HW, y_HW = self.x_HW - rng.normal(0, 0.12), self.y_HW - rng.normal(0, 0.12)
        turn, root = rng.uniform(0, math.pi), math.sqrt(stretch)
        along_HW = (math.cos(turn) * x_HW + math.sin(turn) * y_HW) / root
        across_HW = (math.cos(turn) * y_HW - math.sin(turn) * x_HW) * root
        waves = np.arange(2, 10)
        size_W = roughness * 1.6 / waves * rng.normal(size=len(waves))
        # One cosine table looked up by angle: many times faster than a cosine for every wave and pixel.
        angles = np.linspace(-math.pi, math.pi, 257)
        border = 1 + size_W @ np.cos(waves[:, None] * angles + rng.uniform(0, 2 * math.pi, (len(waves), 1)))
        border_HW = np.interp(np.arctan2(across_HW, along_HW), angles, np.maximum(border, 0.3)).astype(np.float32)
        fray_HW = (self.noise(7) + self.noise(15) / 2 - 0.75) * ragged
        return np.hypot(along_HW, across_HW) - radius * border_HW + fray_HW

    def grain(self, cover_HW: np.ndarray, strength: float) -> None:
        """Make the picture unevenly lighter and darker where ``cover_HW`` says so."""
        self.rgb_HWC *= (1 + strength * cover_HW * (0.5 * self.noise(24) + 0.5 * self.noise(12) - 0.5))[..., None]

    def honeycomb(self, cells: float, warp: float) -> np.ndarray:
        """Return the lines (1) between the holes (0) of a bent honeycomb: three plane waves at 120 degrees."""
        x_HW = self.x_HW + warp * (self.noise(6) - 0.5) * 2
        y_HW = self.y_HW + warp * (self.noise(6) - 0.5) * 2
        start = self.rng.uniform(0, 2 * math.pi)
        waves_HW = np.zeros_like(x_HW)
        for third in range(3):
            angle = start + third * 2 * math.pi / 3
            waves_HW += np.cos(math.pi * cells * (math.cos(angle) * x_HW + math.sin(angle) * y_HW))
        return smooth_step(waves_HW, 0.6, -1.2)

    def furrows(self, number: float, warp: float) -> np.ndarray:
        """Return winding furrows (1) between ridges (0), like those of a brain."""
        bent_HW = self.x_HW + warp * 2 * (self.noise(5) - 0.5)
        turn = self.rng.uniform(0, math.pi)
        across_HW = math.cos(turn) * bent_HW + math.sin(turn) * (self.y_HW + warp * 2 * (self.noise(5) - 0.5))
        return smooth_step(np.cos(2 * math.pi * number * across_HW), 0.35, 1.0)

    def dots(self, number: int, size: float, reach: float) -> np.ndarray:
        """Return ``number`` round spots (1 in the middle) of about radius ``size``, within ``reach`` of the center."""
        rng = self.rng
        far_D = reach * np.sqrt(rng.random(number, dtype=np.float32))
        angle_D = rng.random(number, dtype=np.float32) * (2 * math.pi)
        size_D = size * (0.6 + 0.8 * rng.random(number, dtype=np.float32))
        # The Gaussian of a spot is the product of one over x and one over y.
        row_DW = np.exp(-(((self.x_HW[0] - (far_D * np.cos(angle_D))[:, None]) / size_D[:, None]) ** 2))
        column_DH = np.exp(-(((self.y_HW[:, 0] - (far_D * np.sin(angle_D))[:, None]) / size_D[:, None]) ** 2))
        cover_HW = np.zeros_like(self.x_HW)
        for row_W, column_H in zip(row_DW, column_DH, strict=True):
            np.maximum(cover_HW, column_H[:, None] * row_W, out=cover_HW)
        return cover_HW


@cache
def _cubic_weights(cells: int, resolution: int) -> np.ndarray:
    """Return the weights (resolution, G) that draw a grid of G = cells + 4 numbers smoothly (Keys' cubic, a = -1/2)."""
    place = (np.arange(resolution) + 0.5) / resolution * cells + 1.5
    far = np.abs(place[:, None] - np.arange(cells + 4))
    near = (1.5 * far - 2.5) * far**2 + 1
    next_to = ((-0.5 * far + 2.5) * far - 4) * far + 2
    return np.where(far < 1, near, np.where(far < 2, next_to, 0)).astype(np.float32)


def smooth_step(values: np.ndarray, zero_at: float, one_at: float) -> np.ndarray:
    """Return 0 up to ``zero_at``, 1 from ``one_at`` on (which may be the smaller of the two), smooth in between."""
    t = np.clip((values - zero_at) / (one_at - zero_at), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def mix(one_C: np.ndarray, other_C: np.ndarray, share: float) -> np.ndarray:
    """Return ``one_C`` with ``share`` (0 to 1) of ``other_C``."""
    return one_C + share * (other_C - one_C)


def paint_skin(canvas: Canvas) -> None:
    """Fill the canvas with one of several skins: a gradient, redder patches and fine texture."""
    rng = canvas.rng
    place = rng.uniform(0, len(SKINS_KC) - 1)
    low = int(place)
    base_C = mix(SKINS_KC[low], SKINS_KC[min(low + 1, len(SKINS_KC) - 1)], place - low)
    canvas.rgb_HWC += base_C * np.array([1.0, rng.uniform(0.94, 1.04), rng.uniform(0.9, 1.08)], np.float32)
    canvas.tint(canvas.noise(3) * rng.uniform(0.0, 0.35), RED * 1.25)
    canvas.rgb_HWC *= (1 + 0.06 * (canvas.noise(14) - 0.5))[..., None]
    canvas.rgb_HWC *= (1 + 0.07 * (canvas.noise(28) - 0.5))[..., None]


def paint_light(canvas: Canvas) -> None:
    """Add what lies over the lesion: hair on some, a slant of light, dark corners on many, a dark rim on some."""
    rng = canvas.rng
    if rng.random() < 0.35:
        for _ in range(rng.integers(2, 9)):
            _hair(canvas)
    angle, strength = rng.uniform(0, 2 * math.pi), rng.uniform(0.0, 0.1)
    canvas.rgb_HWC *= (1 + strength * (math.cos(angle) * canvas.x_HW + math.sin(angle) * canvas.y_HW))[..., None]
    far_HW = np.hypot(canvas.x_HW - rng.normal(0, 0.04), canvas.y_HW - rng.normal(0, 0.04))
    if rng.random() < 0.6:
        canvas.rgb_HWC *= (1 - rng.uniform(0.1, 0.4) * smooth_step(far_HW, 0.6, 1.45))[..., None]
    if rng.random() < 0.2:
        rim = rng.uniform(0.92, 1.15)
        canvas.rgb_HWC *= (1 - 0.97 * smooth_step(far_HW, rim - 0.04, rim + 0.02))[..., None]


def _hair(canvas: Canvas) -> None:
    """Paint one hair: a slightly bent line, drawn as the distance to a parabola."""
    rng = canvas.rng
    angle = rng.uniform(0, math.pi)
    along_HW = math.cos(angle) * canvas.x_HW + math.sin(angle) * canvas.y_HW - rng.uniform(-0.5, 0.5)
    across_HW = math.cos(angle) * canvas.y_HW - math.sin(angle) * canvas.x_HW - rng.uniform(-0.9, 0.9)
    bend = rng.normal(0, 0.3)
    width = rng.uniform(0.008, 0.018)
    # The slope makes the vertical distance to the parabola longer than the true one.
    distance_HW = (across_HW - bend * along_HW**2) / np.sqrt(1 + (2 * bend * along_HW) ** 2)
    ends_HW = smooth_step(np.abs(along_HW), rng.uniform(0.5, 1.3), 0.4)
    canvas.tint(np.exp(-((distance_HW / max(width, 0.6 / len(along_HW))) ** 2)) * ends_HW * rng.uniform(0.3, 0.8), HAIR)


CLASSES = ("nevus", "melanoma", "keratosis")
# Raise it when the formulas change: it is part of every image's random key.
EDITION = 1


def make_synthetic_lesions(
    n_per_class: int, resolution: int = 64, seed: int = 0, classes: Sequence[str] = CLASSES
) -> ImageSet:
    """Make images of lesions; an image depends on resolution, seed, class and its number, not on how many are made.

    Args:
        n_per_class: images of each class.
        resolution: side in pixels.
        seed: 0 to 2**64 - 1.
        classes: which of ``CLASSES``.

    Returns:
        The images, class by class.
    """
    images_NHWC = np.empty((n_per_class * len(classes), resolution, resolution, 3), np.uint8)
    for row in range(len(images_NHWC)):
        images_NHWC[row] = make_lesion(classes[row // n_per_class], row % n_per_class, resolution, seed)
    names = tuple(f"made/{name}/{number}" for name in classes for number in range(n_per_class))
    return ImageSet(
        images_NHWC=images_NHWC,
        labels_N=np.repeat(np.arange(len(classes), dtype=np.int64), n_per_class),
        classes=tuple(classes),
        names=names,
        groups=("",) * len(names),
        notes=("the lesions are made by formulas, they are no medical images",),
    )


def make_lesion(class_name: str, number: int, resolution: int, seed: int) -> np.ndarray:
    """Make one image: uint8 of shape (resolution, resolution, 3)."""
    kind = CLASSES.index(class_name)
    key = np.array([seed, number], np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key, counter=np.array([0, 0, kind, EDITION], np.uint64)))
    canvas = Canvas(rng, resolution)
    paint_skin(canvas)
    PAINTERS[class_name](canvas)
    paint_light(canvas)
    noise_HWC = 0.008 * rng.standard_normal(canvas.rgb_HWC.shape, dtype=np.float32)
    return np.clip((canvas.rgb_HWC + noise_HWC) * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _nevus(canvas: Canvas) -> None:
    """Round and even: one brown that darkens inwards, a fine regular network or globules."""
    rng = canvas.rng
    radius = rng.uniform(0.26, 0.6)
    edge_HW = canvas.blob(radius, roughness=rng.uniform(0.02, 0.06), stretch=rng.uniform(1.0, 1.4), ragged=0.06)
    body_HW = smooth_step(edge_HW, 0.1, rng.uniform(-0.25, -0.1))
    brown_C = mix(TAN, BROWN, rng.uniform(0.1, 1.0)) * rng.uniform(0.85, 1.1)
    canvas.tint(body_HW * rng.uniform(0.6, 0.92), brown_C)
    canvas.tint(smooth_step(edge_HW, 0.0, -radius) * rng.uniform(0.1, 0.8) * (0.5 + canvas.noise(5) / 2), DARK_BROWN)
    canvas.tint(body_HW * 0.4 * canvas.noise(9), BROWN)
    if rng.random() < 0.65:
        lines_HW = canvas.honeycomb(rng.uniform(13.0, 18.0), warp=0.05) * (0.3 + 0.7 * canvas.noise(5))
        canvas.tint(body_HW * lines_HW * rng.uniform(0.25, 0.5), DARK_BROWN)
    else:
        canvas.tint(body_HW * canvas.dots(int(rng.integers(15, 50)), 0.03, radius) * 0.45, DARK_BROWN)
    canvas.grain(body_HW, 0.25)


def _melanoma(canvas: Canvas) -> None:
    """Uneven: a ragged border, patches from tan to black, red and blue-white, a broken network, streaks at the rim."""
    rng = canvas.rng
    radius = rng.uniform(0.42, 0.72)
    edge_HW = canvas.blob(radius, roughness=rng.uniform(0.07, 0.13), stretch=rng.uniform(1.05, 1.6), ragged=0.22)
    body_HW = smooth_step(edge_HW, 0.07, rng.uniform(-0.16, -0.05))
    canvas.tint(body_HW * rng.uniform(0.65, 0.9), mix(TAN, BROWN, rng.uniform(0.2, 0.9)))
    # Darker on one side: the two halves differ.
    angle = rng.uniform(0, 2 * math.pi)
    side_HW = 0.5 + (math.cos(angle) * canvas.x_HW + math.sin(angle) * canvas.y_HW) / (2.2 * radius)
    dark_HW = smooth_step(side_HW + 0.8 * (canvas.noise(5) - 0.5) + 0.4 * (canvas.noise(11) - 0.5), 0.25, 0.9)
    canvas.tint(body_HW * dark_HW * rng.uniform(0.7, 0.95), DARK_BROWN)
    patch_HW = 0.65 * canvas.noise(5) + 0.35 * canvas.noise(12)
    canvas.tint(body_HW * smooth_step(patch_HW, 0.48, 0.78) * rng.uniform(0.5, 0.95), BLACK)
    if rng.random() < 0.5:
        canvas.tint(body_HW * smooth_step(canvas.noise(4), 0.55, 1.0) * rng.uniform(0.3, 0.7), RED)
    lines_HW = canvas.honeycomb(rng.uniform(8.0, 13.0), warp=0.16) * smooth_step(canvas.noise(4), 0.2, 0.8)
    canvas.tint(body_HW * lines_HW * rng.uniform(0.2, 0.5), BLACK)
    if rng.random() < 0.55:
        veil_HW = smooth_step(edge_HW, 0.0, -0.35) * smooth_step(
            0.7 * canvas.noise(3) + 0.3 * canvas.noise(9), 0.4, 0.85
        )
        canvas.tint(veil_HW * rng.uniform(0.4, 0.8), BLUE_GRAY)
    if rng.random() < 0.3:
        canvas.tint(body_HW * smooth_step(canvas.noise(5), 0.6, 1.0) * 0.6, PALE)
    ring_HW = np.exp(-((edge_HW / 0.08) ** 2))
    canvas.tint(ring_HW * canvas.dots(int(rng.integers(20, 70)), 0.03, 1.2 * radius) * 0.7, DARK_BROWN)
    canvas.grain(body_HW, 0.4)


def _keratosis(canvas: Canvas) -> None:
    """Stuck on: a sharp border, yellow to gray-brown wax, furrows, pale milia and dark plugs, a lit upper edge."""
    rng = canvas.rng
    radius = rng.uniform(0.36, 0.66)
    edge_HW = canvas.blob(radius, roughness=rng.uniform(0.03, 0.07), stretch=rng.uniform(1.0, 1.6), ragged=0.08)
    body_HW = smooth_step(edge_HW, 0.025, -0.03)
    wax_C = mix(WAX, GRAY_BROWN, rng.uniform(0.0, 1.0)) * rng.uniform(0.85, 1.1)
    canvas.tint(body_HW * rng.uniform(0.7, 0.95), wax_C)
    canvas.tint(body_HW * smooth_step(canvas.noise(6), 0.25, 0.9) * rng.uniform(0.3, 0.8), BROWN)
    furrow_HW = canvas.furrows(rng.uniform(3.0, 5.0), warp=rng.uniform(0.25, 0.4)) * smooth_step(
        canvas.noise(6), 0.15, 0.85
    )
    canvas.tint(body_HW * furrow_HW * rng.uniform(0.2, 0.5), DARK_BROWN)
    canvas.tint(body_HW * canvas.dots(int(rng.integers(3, 12)), 0.04, 0.85 * radius) * 0.7, DARK_BROWN)
    canvas.tint(body_HW * canvas.dots(int(rng.integers(4, 14)), 0.028, 0.85 * radius) * 0.7, MILIUM)
    canvas.grain(body_HW, 0.4)
    # A raised edge: light from the upper left, a thin shadow on the other side.
    light_HW = np.exp(-(((edge_HW + 0.06) / 0.05) ** 2)) * -(canvas.x_HW + canvas.y_HW) * rng.uniform(0.1, 0.3)
    canvas.rgb_HWC += (light_HW / (2.8 * radius))[..., None]


PAINTERS: dict[str, Callable[[Canvas], None]] = {"nevus": _nevus, "melanoma": _melanoma, "keratosis": _keratosis}

"""Lesion-like images made by formulas: something to train on at once, without any data. They are no medical images.

Three classes with the textbook look of their namesakes: ``nevus`` (one round, even, brown spot), ``melanoma`` (uneven
border, two halves that differ, several colours), ``keratosis`` (sharp border, waxy, furrowed, with pale and dark dots).

Coordinates x, y run from -1 to 1 over the image, lengths are in these units, colours are RGB from 0 to 1.
Shape letters: N images, H W height and width, C colour channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from qgan_qiskit.data import skin
from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.skin import Canvas, smooth_step

CLASSES = ("nevus", "melanoma", "keratosis")
# Raise it when the formulas change: it is part of every image's random key.
EDITION = 1


def make_lesions(n_per_class: int, resolution: int = 64, seed: int = 0, classes: Sequence[str] = CLASSES) -> ImageSet:
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
    skin.paint_skin(canvas)
    PAINTERS[class_name](canvas)
    skin.paint_light(canvas)
    noise_HWC = 0.008 * rng.standard_normal(canvas.rgb_HWC.shape, dtype=np.float32)
    return np.clip((canvas.rgb_HWC + noise_HWC) * 255.0 + 0.5, 0, 255).astype(np.uint8)


def _nevus(canvas: Canvas) -> None:
    """Round and even: one brown that darkens inwards, a fine regular network or globules."""
    rng = canvas.rng
    radius = rng.uniform(0.26, 0.6)
    edge_HW = canvas.blob(radius, roughness=rng.uniform(0.02, 0.06), stretch=rng.uniform(1.0, 1.4), ragged=0.06)
    body_HW = smooth_step(edge_HW, 0.1, rng.uniform(-0.25, -0.1))
    brown_C = skin.mix(skin.TAN, skin.BROWN, rng.uniform(0.1, 1.0)) * rng.uniform(0.85, 1.1)
    canvas.tint(body_HW * rng.uniform(0.6, 0.92), brown_C)
    canvas.tint(
        smooth_step(edge_HW, 0.0, -radius) * rng.uniform(0.1, 0.8) * (0.5 + canvas.noise(5) / 2), skin.DARK_BROWN
    )
    canvas.tint(body_HW * 0.4 * canvas.noise(9), skin.BROWN)
    if rng.random() < 0.65:
        lines_HW = canvas.honeycomb(rng.uniform(13.0, 18.0), warp=0.05) * (0.3 + 0.7 * canvas.noise(5))
        canvas.tint(body_HW * lines_HW * rng.uniform(0.25, 0.5), skin.DARK_BROWN)
    else:
        canvas.tint(body_HW * canvas.dots(int(rng.integers(15, 50)), 0.03, radius) * 0.45, skin.DARK_BROWN)
    canvas.grain(body_HW, 0.25)


def _melanoma(canvas: Canvas) -> None:
    """Uneven: a ragged border, patches from tan to black, red and blue-white, a broken network, streaks at the rim."""
    rng = canvas.rng
    radius = rng.uniform(0.42, 0.72)
    edge_HW = canvas.blob(radius, roughness=rng.uniform(0.07, 0.13), stretch=rng.uniform(1.05, 1.6), ragged=0.22)
    body_HW = smooth_step(edge_HW, 0.07, rng.uniform(-0.16, -0.05))
    canvas.tint(body_HW * rng.uniform(0.65, 0.9), skin.mix(skin.TAN, skin.BROWN, rng.uniform(0.2, 0.9)))
    # Darker on one side: the two halves differ.
    angle = rng.uniform(0, 2 * math.pi)
    side_HW = 0.5 + (math.cos(angle) * canvas.x_HW + math.sin(angle) * canvas.y_HW) / (2.2 * radius)
    dark_HW = smooth_step(side_HW + 0.8 * (canvas.noise(5) - 0.5) + 0.4 * (canvas.noise(11) - 0.5), 0.25, 0.9)
    canvas.tint(body_HW * dark_HW * rng.uniform(0.7, 0.95), skin.DARK_BROWN)
    patch_HW = 0.65 * canvas.noise(5) + 0.35 * canvas.noise(12)
    canvas.tint(body_HW * smooth_step(patch_HW, 0.48, 0.78) * rng.uniform(0.5, 0.95), skin.BLACK)
    if rng.random() < 0.5:
        canvas.tint(body_HW * smooth_step(canvas.noise(4), 0.55, 1.0) * rng.uniform(0.3, 0.7), skin.RED)
    lines_HW = canvas.honeycomb(rng.uniform(8.0, 13.0), warp=0.16) * smooth_step(canvas.noise(4), 0.2, 0.8)
    canvas.tint(body_HW * lines_HW * rng.uniform(0.2, 0.5), skin.BLACK)
    if rng.random() < 0.55:
        veil_HW = smooth_step(edge_HW, 0.0, -0.35) * smooth_step(
            0.7 * canvas.noise(3) + 0.3 * canvas.noise(9), 0.4, 0.85
        )
        canvas.tint(veil_HW * rng.uniform(0.4, 0.8), skin.BLUE_GREY)
    if rng.random() < 0.3:
        canvas.tint(body_HW * smooth_step(canvas.noise(5), 0.6, 1.0) * 0.6, skin.PALE)
    ring_HW = np.exp(-((edge_HW / 0.08) ** 2))
    canvas.tint(ring_HW * canvas.dots(int(rng.integers(20, 70)), 0.03, 1.2 * radius) * 0.7, skin.DARK_BROWN)
    canvas.grain(body_HW, 0.4)


def _keratosis(canvas: Canvas) -> None:
    """Stuck on: a sharp border, yellow to grey-brown wax, furrows, pale milia and dark plugs, a lit upper edge."""
    rng = canvas.rng
    radius = rng.uniform(0.36, 0.66)
    edge_HW = canvas.blob(radius, roughness=rng.uniform(0.03, 0.07), stretch=rng.uniform(1.0, 1.6), ragged=0.08)
    body_HW = smooth_step(edge_HW, 0.025, -0.03)
    wax_C = skin.mix(skin.WAX, skin.GREY_BROWN, rng.uniform(0.0, 1.0)) * rng.uniform(0.85, 1.1)
    canvas.tint(body_HW * rng.uniform(0.7, 0.95), wax_C)
    canvas.tint(body_HW * smooth_step(canvas.noise(6), 0.25, 0.9) * rng.uniform(0.3, 0.8), skin.BROWN)
    furrow_HW = canvas.furrows(rng.uniform(3.0, 5.0), warp=rng.uniform(0.25, 0.4)) * smooth_step(
        canvas.noise(6), 0.15, 0.85
    )
    canvas.tint(body_HW * furrow_HW * rng.uniform(0.2, 0.5), skin.DARK_BROWN)
    canvas.tint(body_HW * canvas.dots(int(rng.integers(3, 12)), 0.04, 0.85 * radius) * 0.7, skin.DARK_BROWN)
    canvas.tint(body_HW * canvas.dots(int(rng.integers(4, 14)), 0.028, 0.85 * radius) * 0.7, skin.MILIUM)
    canvas.grain(body_HW, 0.4)
    # A raised edge: light from the upper left, a thin shadow on the other side.
    light_HW = np.exp(-(((edge_HW + 0.06) / 0.05) ** 2)) * -(canvas.x_HW + canvas.y_HW) * rng.uniform(0.1, 0.3)
    canvas.rgb_HWC += (light_HW / (2.8 * radius))[..., None]


PAINTERS: dict[str, Callable[[Canvas], None]] = {"nevus": _nevus, "melanoma": _melanoma, "keratosis": _keratosis}

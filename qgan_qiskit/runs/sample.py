"""Folders named after classes, on any system, also where a class is named as no folder can be.

What a picture says of itself: that it is synthetic, and what made it.

The texts lie in the PNG's own text chunks, and once more as XMP in the words of the press (IPTC's digital source type), which
viewers and archives understand. They hold no date, so the same image has the same bytes.

Generated images with what is known of each: its seed, its class and what made it.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from qgan_qiskit.config import RunConfig
from qgan_qiskit.data import (
    to_uint8,
)
from qgan_qiskit.errors import UsageError
from qgan_qiskit.models import Generator
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs.load import keep_to_class, open_with_digest

# What some system or archive does not take in a name, and what would step out of the folder.
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_LONGEST = 100

# Images are generated in blocks of neighboring seeds, always whole: the same seed meets the same arithmetic, whichever
# other seeds are asked for, and so gives the same bytes.
_BLOCK = 32


def class_folders(classes: Sequence[str]) -> list[str]:
    """Return a folder's name for each class: its own where that is one, and all of them different, in any case."""
    names: list[str] = []
    for one in classes:
        name = _NOT_IN_NAMES.sub("_", one)[:_LONGEST].strip(" ")
        # A leading dot hides a folder, and a dot at the end is dropped by Windows.
        name = re.sub(r"^\.|\.$", "_", name) or "_"
        if _RESERVED.match(name):
            name = f"_{name}"
        taken, number, own = {other.casefold() for other in names}, 2, name
        while name.casefold() in taken:
            name, number = f"{own}_{number}", number + 1
        names.append(name)
    return names


DESCRIPTION = "Synthetic image made by a generative model; it shows no patient and is no basis for a diagnosis."
PREFIX = "qgan:"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}" xmp:CreatorTool={{}}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)

# What is known of the making of an image, such as model, class and seed.
About = Mapping[str, object]


def software() -> str:
    """Return the name and version of this library."""
    return f"qgan_qiskit {metadata.version('qgan_qiskit')}"


def texts(about: About) -> dict[str, str]:
    """Return the texts of a picture by keyword: ``Software``, ``Description`` and ``qgan:…``.

    Args:
        about: names and values; None is left out, lists become JSON.
    """
    found = {"Software": software(), "Description": DESCRIPTION, f"{PREFIX}synthetic": "true"}
    for name, value in about.items():
        if value is not None:
            found[PREFIX + name] = _readable(value if isinstance(value, str) else json.dumps(value))
    return found


def png(picture: Image.Image, about: About) -> bytes:
    """Return a picture as PNG that says it is synthetic.

    Args:
        picture: of one image, or a sheet of several.
        about: see :func:`texts`.
    """
    buffer = BytesIO()
    picture.save(buffer, format="PNG", pnginfo=png_info(about))
    return buffer.getvalue()


def png_info(about: About) -> PngInfo:
    """Return the text chunks of such a picture, for Pillow's ``save``."""
    info = PngInfo()
    for name, text in texts(about).items():
        info.add_itxt(name, text)
    info.add_itxt("XML:com.adobe.xmp", _XMP.format(quoteattr(software())))
    return info


def as_json(about: About) -> str:
    """Return the same texts as JSON, for files that are no pictures."""
    return json.dumps(texts(about), indent=1)


def _readable(text: str) -> str:
    # Names of folders may hold bytes that are no UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, eq=False)
class Sample:
    """A generated image.

    Attributes:
        seed: that it is a function of.
        label: its class, a row of :attr:`Source.classes`.
        image_CHW: in [-1, 1].
    """

    seed: int
    label: int
    image_CHW: Tensor


@dataclass(frozen=True, eq=False)
class Source:
    """A trained generator and what its images are to say of where they come from.

    Attributes:
        generator: ready to generate.
        config: settings of its run.
        weights: SHA-256 of the file of its weights, as the checkpoint's manifest has it.
        classes: names of its classes; of a generator without classes the one that it was trained on.
        chosen: rows of the classes to make.
        backend: what runs its circuits.
    """

    generator: Generator
    config: RunConfig
    weights: str
    classes: tuple[str, ...]
    chosen: tuple[int, ...]
    backend: str = "exact"

    @classmethod
    def open(
        cls,
        path: Path,
        class_name: str | None = None,
        backend: str = "exact",
        execution: str | None = None,
    ) -> Source:
        """Open a run or checkpoint.

        Args:
            path: of its folder.
            class_name: the classes to make, with commas between them; None for all.
            backend: what runs its circuits.
            execution: how they are simulated, ``fused`` or ``connectors``; None as the run was trained.

        Raises:
            CheckpointError: it cannot be used.
            UsageError: there is no such class, or connectors are asked for and there are no circuits.
        """
        generator, config, weights = open_with_digest(path, execution)
        if class_name is not None:
            chosen = keep_to_class(generator, config, class_name)
        else:
            chosen = tuple(range(max(1, generator.num_classes)))
        names = config.data.class_list() if generator.num_classes else ()
        classes = tuple(names) or (config.data.class_name or "images",)
        return cls(generator, config, weights, classes, chosen, backend)

    def about(self, **more: object) -> dict[str, object]:
        """Return what an image's metadata say of its making, with what is given; no names of folders or people."""
        config = self.config
        made_by = {"model": config.model.name, "preset": config.preset, "weights": self.weights}
        return {**made_by, "backend": self.backend, **more}

    def parts(self, seeds: Sequence[int], per_class: bool) -> Iterator[Sequence[int]]:
        """Yield the seeds to make in turn; the generator makes one class alone while it is at that class's turn.

        Args:
            seeds: asked for.
            per_class: all of them of each class, instead of each of the class that it draws.
        """
        if not per_class:
            yield seeds
            return
        for label in self.chosen:
            self.generator.set_class(label)
            yield seeds

    def labels(self, seeds: Sequence[int]) -> list[int]:
        """Return the classes of seeds, as the generator draws them now."""
        if not self.generator.num_classes:
            return [0] * len(seeds)
        found: list[int] = self.generator.labels(latents(self.generator, seeds)).tolist()
        return found

    def samples(self, seeds: Sequence[int], per_class: bool) -> Iterator[Sample]:
        """Yield the samples of seeds, made by the exact simulator."""
        for part in self.parts(seeds, per_class):
            for seed, image_CHW in generate(self.generator, part):
                yield Sample(seed, self.labels([seed])[0], image_CHW)


def generated(generator: Generator, number: int) -> np.ndarray:
    """Return the images of seeds 0 to number - 1, uint8 (N, H, W, 3)."""
    return np.concatenate([to_uint8(image[None]) for _, image in generate(generator, range(number))])


def latents(generator: Generator, seeds: Sequence[int]) -> Tensor:
    """Return one latent vector per seed, shape (N, Z), each a function of its seed alone."""
    return torch.cat([generator.sample_latent(1, seeded_generator(seed, "generate")) for seed in seeds])


@torch.no_grad()
def generate(generator: Generator, seeds: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield (seed, image (C, H, W) in [-1, 1]) in the order asked for; a seed always gives the same image.

    Raises:
        UsageError: a seed is negative.
    """
    if any(seed < 0 for seed in seeds):
        raise UsageError(f"seed {min(seeds)}: seeds start at 0")
    block, images = -1, None
    for seed in seeds:
        if images is None or seed // _BLOCK != block:
            block = seed // _BLOCK
            z_BZ = latents(generator, range(block * _BLOCK, (block + 1) * _BLOCK))
            images = generator(z_BZ.to(next(generator.parameters()).device))
        yield seed, images[seed % _BLOCK]


@torch.no_grad()
def interpolate(generator: Generator, seeds: Sequence[int], frames: int) -> Tensor:
    """Return images along straight lines between the latents of neighboring seeds, shape (N, C, H, W).

    Args:
        generator: from :func:`open_generator`.
        seeds: at least two.
        frames: images from one seed up to, not including, the next; the last seed closes the row.
    """
    ends_NZ = latents(generator, seeds)
    weights = torch.linspace(0, 1, frames + 1)[:-1]
    path = [torch.lerp(a, b, float(w)) for a, b in itertools.pairwise(ends_NZ) for w in weights]
    path.append(ends_NZ[-1])
    return torch.cat([generator(part) for part in torch.stack(path).split(_BLOCK)])

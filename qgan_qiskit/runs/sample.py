"""Sample a trained generator: each image is a function of the weights and one seed, and says what made it.

A PNG carries its provenance in text chunks, and as XMP with IPTC's digital source type, which viewers and archives understand.
There is no date in it, so the same image has the same bytes.

Shape letters: N images · Z latent size · C H W image.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from qgan_qiskit.data import to_uint8
from qgan_qiskit.errors import UsageError
from qgan_qiskit.models import Generator
from qgan_qiskit.rng import seeded_generator
from qgan_qiskit.runs.load import load_with_digest, select_classes

_BLOCK_SIZE = 32
# Characters and names that some system or archive does not accept in a file's name, or that would leave the folder.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?$")
_MAX_NAME_LENGTH = 100

DESCRIPTION = "Synthetic image made by a generative model; it shows no patient and is no basis for a diagnosis."
PREFIX = "qgan:"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}" xmp:CreatorTool={{}}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
# What is known about the making of an image, such as model, class and seed.
Provenance = Mapping[str, object]


@torch.no_grad()
def sample(generator: Generator, seeds: Iterable[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield (seed, image (C, H, W) in [-1, 1]) in the order of the seeds; a seed always gives the same image.

    Args:
        generator: from :func:`qgan_qiskit.load_generator`.
        seeds: one image each, from 0 on.

    Raises:
        UsageError: a seed is negative.
    """
    seeds = list(seeds)
    if any(seed < 0 for seed in seeds):
        raise UsageError(f"seed {min(seeds)}: seeds start at 0")
    # Whole blocks of consecutive seeds are computed: the same seed meets the same arithmetic whichever others are asked for.
    current, images = -1, None
    for seed in seeds:
        block, index = divmod(seed, _BLOCK_SIZE)
        if images is None or block != current:
            current = block
            z_BZ = sample_latents(generator, range(block * _BLOCK_SIZE, (block + 1) * _BLOCK_SIZE))
            images = generator(z_BZ.to(next(generator.parameters()).device))
        yield seed, images[index]


def sample_uint8(generator: Generator, number: int) -> np.ndarray:
    """Return the images of seeds 0 to number - 1, uint8 (N, H, W, C)."""
    return np.concatenate([to_uint8(image[None]) for _, image in sample(generator, range(number))])


def sample_latents(generator: Generator, seeds: Iterable[int]) -> Tensor:
    """Return one latent vector per seed, shape (N, Z), each a function of its seed alone."""
    return torch.cat([generator.sample_latent(1, seeded_generator(seed, "generate")) for seed in seeds])


@torch.no_grad()
def interpolate(generator: Generator, seeds: Sequence[int], frames: int) -> Tensor:
    """Return images along straight lines between the latents of consecutive seeds, shape (N, C, H, W).

    Args:
        generator: from :func:`qgan_qiskit.load_generator`.
        seeds: at least two.
        frames: images from one seed up to, not including, the next; the last seed ends the path.
    """
    ends_NZ = sample_latents(generator, seeds)
    weights = torch.linspace(0, 1, frames + 1)[:-1]
    path = [torch.lerp(a, b, float(w)) for a, b in itertools.pairwise(ends_NZ) for w in weights]
    path.append(ends_NZ[-1])
    return torch.cat([generator(block) for block in torch.stack(path).split(_BLOCK_SIZE)])


@dataclass(frozen=True, eq=False)
class Sample:
    """A generated image.

    Attributes:
        seed: which it is a function of.
        label: its class, an index into :attr:`TrainedGenerator.classes`.
        image_CHW: in [-1, 1].
    """

    seed: int
    label: int
    image_CHW: Tensor


@dataclass(frozen=True, eq=False)
class TrainedGenerator:
    """A loaded generator and the provenance of its images.

    Attributes:
        generator: ready to sample.
        config: settings of its run.
        weights_digest: SHA-256 of the file of its weights, as the checkpoint's manifest states it.
        classes: names of its classes; without classes, the one that it was trained on.
        labels: indices of the classes to sample.
        backend: what runs its circuits.
    """

    generator: Generator
    config: RunConfig
    weights_digest: str
    classes: tuple[str, ...]
    labels: tuple[int, ...]
    backend: str = "exact"

    @classmethod
    def load(
        cls, path: Path, class_names: str | None = None, backend: str = "exact", execution: str | None = None
    ) -> TrainedGenerator:
        """Load from a run or checkpoint.

        Args:
            path: of its folder.
            class_names: the classes to sample, separated by commas; None for all.
            backend: what runs its circuits.
            execution: how they are simulated, ``fused`` or ``connectors``; None as in training.

        Raises:
            CheckpointError: the checkpoint cannot be used.
            UsageError: there is no such class, or connectors are asked for and there are no circuits.
        """
        generator, config, digest = load_with_digest(path, execution)
        if class_names is not None:
            labels = select_classes(generator, config, class_names)
        else:
            labels = tuple(range(max(1, generator.num_classes)))
        names = config.data.class_list() if generator.num_classes else ()
        classes = tuple(names) or (config.data.class_name or "images",)
        return cls(generator, config, digest, classes, labels, backend)

    def provenance(self, **more: object) -> dict[str, object]:
        """Return what an image's metadata say about its making; no names of folders or people."""
        config = self.config
        made_by = {"model": config.model.name, "preset": config.preset, "weights": self.weights_digest}
        return {**made_by, "backend": self.backend, **more}

    def iterate_classes(self, seeds: Sequence[int], per_class: bool) -> Iterator[Sequence[int]]:
        """Yield the seeds once, or once per class with the generator restricted to that class meanwhile."""
        if not per_class:
            yield seeds
            return
        for label in self.labels:
            self.generator.set_class(label)
            yield seeds

    def labels_of(self, seeds: Sequence[int]) -> list[int]:
        """Return the classes that the generator gives these seeds at present."""
        if not self.generator.num_classes:
            return [0] * len(seeds)
        labels: list[int] = self.generator.labels(sample_latents(self.generator, seeds)).tolist()
        return labels

    def sample(self, seeds: Sequence[int], per_class: bool) -> Iterator[Sample]:
        """Yield the samples of seeds from the exact simulator; of each class with ``per_class``."""
        for chosen in self.iterate_classes(seeds, per_class):
            for seed, image_CHW in sample(self.generator, chosen):
                yield Sample(seed, self.labels_of([seed])[0], image_CHW)


def encode_png(picture: Image.Image, provenance: Provenance) -> bytes:
    """Return a picture (one image, or a sheet of several) as PNG that says it is synthetic."""
    buffer = BytesIO()
    picture.save(buffer, format="PNG", pnginfo=png_metadata(provenance))
    return buffer.getvalue()


def png_metadata(provenance: Provenance) -> PngInfo:
    """Return the text chunks of a synthetic picture, for Pillow's ``save``."""
    info = PngInfo()
    for name, text in _provenance_texts(provenance).items():
        info.add_itxt(name, text)
    info.add_itxt("XML:com.adobe.xmp", _XMP.format(quoteattr(_software())))
    return info


def provenance_json(provenance: Provenance) -> str:
    """Return the texts of a PNG as JSON, for files of other formats."""
    return json.dumps(_provenance_texts(provenance), indent=1)


def _provenance_texts(provenance: Provenance) -> dict[str, str]:
    """Return ``Software``, ``Description`` and ``qgan:…``; None is left out, and what is not text becomes JSON."""
    texts = {"Software": _software(), "Description": DESCRIPTION, f"{PREFIX}synthetic": "true"}
    for name, value in provenance.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            # Names of folders may hold bytes that are not UTF-8.
            texts[PREFIX + name] = text.encode("utf-8", "backslashreplace").decode()
    return texts


def _software() -> str:
    return f"qgan_qiskit {metadata.version('qgan_qiskit')}"


def class_folders(classes: Sequence[str]) -> list[str]:
    """Return a folder name for each class, valid on every system and unique regardless of case."""
    names: list[str] = []
    for class_name in classes:
        name = _FORBIDDEN.sub("_", class_name)[:_MAX_NAME_LENGTH].strip(" ")
        # A leading dot hides a folder; Windows drops one at the end.
        name = re.sub(r"^\.|\.$", "_", name) or "_"
        if _RESERVED.match(name):
            name = f"_{name}"
        taken, number, base = {other.casefold() for other in names}, 2, name
        while name.casefold() in taken:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names

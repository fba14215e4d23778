"""Generated images with what is known of each: its seed, its class and what made it.

Shape letters: N images · C H W image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from qgan_qiskit.config import RunConfig
from qgan_qiskit.experiment import Say, generate, keep_to_class, latents, open_with_digest
from qgan_qiskit.models import Generator


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
        say: Say,
        class_name: str | None = None,
        backend: str = "exact",
        execution: str | None = None,
    ) -> Source:
        """Open a run or checkpoint.

        Args:
            path: of its folder.
            say: receives lines for a person.
            class_name: the classes to make, with commas between them; None for all.
            backend: what runs its circuits.
            execution: how they are simulated, ``fused`` or ``connectors``; None as the run was trained.

        Raises:
            CheckpointError: it cannot be used.
            UsageError: there is no such class, or connectors are asked for and there are no circuits.
        """
        generator, config, weights = open_with_digest(path, say, execution)
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
            self.generator.keep_to(label)
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

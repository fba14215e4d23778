"""Settings of the real images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qgan_qiskit.config.base import Settings

Layout = Literal[
    "auto", "folders", "flat", "table", "isic2018", "isic2019", "isic2020", "ham10000", "pad-ufes-20", "fitzpatrick17k",
    "odir5k", "cifar10", "huggingface", "stylegan",
]  # fmt: skip


class DataConfig(Settings):
    """Where the real images come from and how they are brought to one shape."""

    path: str | None = Field(
        None,
        description="Folder, zip or .npz of images, or sklearn:digits; without it lesion-like images are made procedurally.",
    )
    class_name: str | None = Field(
        None,
        description="Class to train on, by name (MEL); 'all' trains one GAN per class in turn. A conditional model takes several "
        "together (MEL,NV,BCC). [default: the only class, else 'all']",
    )
    resolution: int = Field(
        64,
        ge=8,
        le=512,
        description="Side of the square images in pixels; hybridq and dcgan need a power of two from 16 on.",
    )
    color: Literal["rgb", "grayscale"] = Field(
        "rgb", description="Color images, or gray ones of one channel (luma of ITU-R 601)."
    )
    synthetic_per_class: int = Field(
        600, ge=8, le=100_000, description="Images made per class when no data path is given."
    )
    skip_bad: bool = Field(False, description="Leave unreadable images out (they are listed) and go on.")
    drop_downsampled: bool = Field(False, description="ISIC 2019: leave out the images named *_downsampled.")
    labels: Literal["three", "nine"] = Field(
        "three", description="Fitzpatrick17k: three_partition_label or nine_partition_label."
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="How other shapes become squares: cut to the middle, laid on black, or stretched to the square.",
    )
    limit: int | None = Field(
        None,
        ge=2,
        description="Use only N images of each class, of the part that is used: drawn at random by lesion (ODIR-5k: patient), "
        "the same ones for the same --split-seed; a larger N adds to them.",
    )
    layout: Layout = Field(
        "auto", description="What the source holds; 'folders': the folders at the top are classes, 'flat': one class."
    )
    table: str | None = Field(None, description="Table of labels for the images: .csv, .tsv, .json or .jsonl.")
    image_column: str | None = Field(None, description="Column of --table that names the images.")
    label_column: str | None = Field(
        None, description="Column of --table (or of Hugging Face's or ISIC 2020's table) with the class."
    )
    group_column: str | None = Field(
        None,
        description="Column of --table (or of Hugging Face's table) with what must stay in one part, such as the patient.",
    )
    split_column: str | None = Field(
        None, description="Column of --table (or of Hugging Face's table) with train, validation or test."
    )
    include: tuple[str, ...] = Field((), description="Use only images that a pattern such as 'a/*.png' names.")
    exclude: tuple[str, ...] = Field((), description="Leave out images that a pattern such as '*_old.png' names.")
    split: Literal["all", "train", "validation", "test"] | None = Field(
        None,
        description="Part of the images to use, by the source's own splits where it has any; else images of one lesion, and "
        "images that show the same picture, are always in one part (by name where the lesion is unknown). [default: train "
        "with own splits, else all]",
    )
    validation_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of the lesions (ODIR-5k: patients) in the validation part."
    )
    test_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of the lesions (ODIR-5k: patients) in the test part."
    )
    split_seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the division into parts, and of the draw of --limit."
    )
    cache_dir: str | None = Field(
        None,
        description="Folder of the cache of decoded images and of their features. [default: the user's cache folder]",
    )
    augment: Literal["none", "flip", "dihedral"] = Field(
        "dihedral",
        description="Turn real images at random: left-right flips, or all eight turns and flips of the square.",
    )

    def class_list(self) -> tuple[str, ...]:
        """Return the classes that are named; none for all."""
        if self.class_name is None or self.class_name.casefold() == "all":
            return ()
        return tuple(name.strip() for name in self.class_name.split(","))

    @model_validator(mode="after")
    def _check_table(self) -> DataConfig:
        if self.image_column is not None and self.table is None:
            raise ValueError("data.image_column names a column of data.table, which is not given")
        if self.table is not None and self.layout not in ("auto", "table", "stylegan"):
            raise ValueError(f"data.table is a layout of its own: leave data.layout {self.layout} out")
        if self.layout == "table" and self.table is None:
            raise ValueError("data.layout table needs data.table")
        return self

    @property
    def channels(self) -> int:
        """Channels of an image tensor: 3 or 1."""
        return 3 if self.color == "rgb" else 1

    @model_validator(mode="after")
    def _check_shares(self) -> DataConfig:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"data.validation_fraction {self.validation_fraction} and data.test_fraction {self.test_fraction}: together they "
                "must leave something to train on"
            )
        return self

"""Settings of the real images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qgan_qiskit.config.base import Settings


class DataConfig(Settings):
    """Where the real images come from and how they are brought to one shape."""

    path: str | None = Field(
        None,
        description="Folder, zip or .npz of images, or sklearn:digits; without it synthetic lesions are generated.",
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
        "rgb", description="Color images, or grayscale ones of one channel (luma of ITU-R 601)."
    )
    synthetic_per_class: int = Field(
        600, ge=8, le=100_000, description="Synthetic images per class when no data path is given."
    )
    skip_bad: bool = Field(False, description="Leave out unreadable images, listing each of them.")
    drop_downsampled: bool = Field(False, description="ISIC 2019: leave out the images named *_downsampled.")
    labels: Literal["three", "nine"] = Field(
        "three", description="Fitzpatrick17k: three_partition_label or nine_partition_label."
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="How other shapes become squares: cropped to the center, padded with black, or stretched.",
    )
    limit: int | None = Field(
        None,
        ge=2,
        description="Use only N images of each class of the split: a random subset by lesion (ODIR-5k: patient), which "
        "--split-seed determines; a larger N adds to it.",
    )
    layout: str = Field(
        "auto",
        description="What the source contains: 'folders' (the top folders are classes), 'flat' (one class), 'table', or a known "
        "data set such as isic2019 or ham10000.",
    )
    table: str | None = Field(None, description="Table of labels for the images: .csv, .tsv, .json or .jsonl.")
    image_column: str | None = Field(None, description="Column of --table that names the images.")
    label_column: str | None = Field(
        None, description="Column of --table (or of Hugging Face's or ISIC 2020's table) with the class."
    )
    group_column: str | None = Field(
        None,
        description="Column of --table (or of Hugging Face's table) with what must stay in one split, such as the patient.",
    )
    split_column: str | None = Field(
        None, description="Column of --table (or of Hugging Face's table) with train, validation or test."
    )
    include: tuple[str, ...] = Field((), description="Use only images that match a pattern such as 'a/*.png'.")
    exclude: tuple[str, ...] = Field((), description="Leave out images that match a pattern such as '*_old.png'.")
    split: Literal["all", "train", "validation", "test"] | None = Field(
        None,
        description="Images to use: by the source's own splits where it has any; otherwise images of one lesion (the image's own "
        "name where it is unknown), and images that show the same picture, are always in one split. [default: train with own "
        "splits, else all]",
    )
    validation_fraction: float = Field(
        0.05, ge=0, lt=1, description="Fraction of the lesions (ODIR-5k: patients) in the validation split."
    )
    test_fraction: float = Field(
        0.05, ge=0, lt=1, description="Fraction of the lesions (ODIR-5k: patients) in the test split."
    )
    split_seed: int = Field(0, ge=0, lt=2**63, description="Seed of the splits and of the random subset of --limit.")
    cache_dir: str | None = Field(
        None,
        description="Folder of the cache of decoded images and of their features. [default: the user's cache folder]",
    )
    augment: Literal["none", "flip", "dihedral"] = Field(
        "dihedral",
        description="Random augmentation of real images: left-right flips, or all eight symmetries of the square.",
    )

    def class_list(self) -> tuple[str, ...]:
        """Return the classes that are named; none for all."""
        if self.class_name is None or self.class_name.casefold() == "all":
            return ()
        return tuple(name.strip() for name in self.class_name.split(","))

    @property
    def channels(self) -> int:
        """Channels of an image tensor: 3 or 1."""
        return 3 if self.color == "rgb" else 1

    @model_validator(mode="after")
    def _check_combinations(self) -> DataConfig:
        if self.image_column is not None and self.table is None:
            raise ValueError("data.image_column names a column of data.table, which is not given")
        if self.table is not None and self.layout not in ("auto", "table", "stylegan"):
            raise ValueError(f"data.table is a layout of its own: omit data.layout {self.layout}")
        if self.layout == "table" and self.table is None:
            raise ValueError("data.layout table needs data.table")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"data.validation_fraction {self.validation_fraction} and data.test_fraction {self.test_fraction}: together they "
                "must leave something to train on"
            )
        return self

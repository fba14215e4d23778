"""Sources for the tests: random pictures, files in memory, label tables, and small copies of known data sets."""

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from qgan_qiskit.data.decoding import decode_image
from qgan_qiskit.data.files import Files


def picture(seed: int = 0, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """Return a random RGB picture (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(content: bytes, resolution: int, fit: str = "crop") -> np.ndarray:
    """Return the pixels that the library makes of one image file."""
    return decode_image(content, resolution, fit)[0]


class MemoryFiles(Files):
    """A folder of {name: bytes}, with nothing around it; generated cases need no disk."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.root = Path("/nowhere/source")
        self.content = content
        self.names = sorted(content)

    def read(self, name: str) -> bytes:
        return self.content[name]

    def fingerprint(self) -> list[str]:
        return self.names


def table(header: list[str], rows: list[list[object]], delimiter: str = ",") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
    return stream.getvalue()


def one_hot(classes: list[str], label: str) -> list[str]:
    return ["1.0" if name == label else "0.0" for name in classes]


C2018 = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
C2019 = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]


def small_copy(kind: str, png: Callable[..., bytes]) -> tuple[dict[str, object], dict[str, tuple[str, str, str]]]:
    """Return the files of a small copy, and class, group and split of each image by its name."""
    rng = random.Random(kind)
    files: dict[str, object] = {}
    truth: dict[str, tuple[str, str, str]] = {}
    if kind in ("isic2018", "isic2019"):
        classes = C2018 if kind == "isic2018" else C2019
        splits = ("Training", "Validation", "Test") if kind == "isic2018" else ("Training", "Test")
        head = "ISIC2018_Task3" if kind == "isic2018" else "ISIC_2019"
        lesions = []
        for number, split in enumerate(splits):
            rows = []
            for k in range(8):
                image, label = f"ISIC_{number}{k:03}", rng.choice(classes)
                lesion = f"L{k // 2}" if split == "Training" else ""
                extra = ["0.5", "1.0"] if kind == "isic2019" and split == "Test" else []
                rows.append([image, *one_hot(classes, label), *extra])
                name = f"{head}_{split}_Input/{image}.jpg"
                files[name] = png(100 * number + k)
                truth[name] = (label, lesion, {"Training": "train", "Validation": "validation", "Test": "test"}[split])
                lesions += [[image, lesion]] if lesion else []
            extra = ["score_weight", "validation_weight"] if kind == "isic2019" and split == "Test" else []
            files[f"{head}_{split}_GroundTruth.csv"] = table(["image", *classes, *extra], rows)
        if kind == "isic2018":
            lesions = [[image, lesion, "histopathology"] for image, lesion in lesions]
            files[f"{head}_Training_LesionGroupings.csv"] = table(
                ["image", "lesion_id", "diagnosis_confirm_type"], lesions
            )
        else:
            files[f"{head}_Training_Metadata.csv"] = table(["image", "lesion_id"], lesions)
            files[f"{head}_Test_Metadata.csv"] = table(["image", "age_approx", "sex"], [["ISIC_1000", "50", "male"]])
    elif kind == "isic2020":
        rows = []
        for k in range(10):
            label = rng.choice(["benign", "malignant"])
            rows.append(
                [f"ISIC_{k:07}", f"IP_{k // 3}", "male", "45", "torso", "unknown", label, int(label != "benign")]
            )
            files[f"train/ISIC_{k:07}.jpg"] = png(k)
            truth[f"train/ISIC_{k:07}.jpg"] = (label, f"IP_{k // 3}", "")
        header = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
        files["train.csv"] = table(header.split(","), rows)
    elif kind == "pad":
        rows = []
        for k in range(12):
            label = rng.choice(["BCC", "NEV", "MEL"])
            rows.append([f"PAT_{k // 4}", str(k), label, f"PAT_{k}_{k}.png"])
            name = f"images/imgs_part_{k % 3 + 1}/PAT_{k}_{k}.png"
            files[name], truth[name] = png(k), (label, f"PAT_{k // 4}", "")
        files["metadata.csv"] = table(["patient_id", "lesion_id", "diagnostic", "img_id"], rows)
    elif kind == "ham":
        rows = []
        for k in range(8):
            label = rng.choice(["mel", "nv", "bcc"])
            rows.append([f"HAM_{k // 2}", f"ISIC_{k}", label, "histo", "50.0", "male", "back"])
            name = f"HAM10000_images_part_{k % 2 + 1}/ISIC_{k}.jpg"
            files[name], truth[name] = png(k), (label.upper(), f"HAM_{k // 2}", "")
        header = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
        files["labels of dermatology.csv"] = table(header, rows)
    elif kind == "stylegan":
        labels = []
        for k in range(8):
            name = f"0000{k % 2}/img{k:08}.png"
            files[name], truth[name] = png(k), (str(k * 7 % 3), "", "")
            labels.append([name, k * 7 % 3])
        files["dataset.json"] = json.dumps({"labels": labels})
    elif kind in ("hf csv", "hf jsonl"):
        for split in ("train", "test"):
            rows = []
            for k in range(5):
                label = rng.choice(["mel", "nv"])
                rows.append({"file_name": f"{k}.png", "label": label})
                files[f"{split}/{k}.png"] = png(k + 50 * (split == "test"))
                truth[f"{split}/{k}.png"] = (label, "", split)
            if kind == "hf csv":
                files[f"{split}/metadata.csv"] = table(["file_name", "label"], [list(row.values()) for row in rows])
            else:
                files[f"{split}/metadata.jsonl"] = "\n".join(map(json.dumps, rows))
    return files, truth

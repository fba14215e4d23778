"""What the HybridQ paper prints for its augmentation study (arXiv 2506.21015v1, Table 2), for columns of their own.

Its split, test set, backbone weights and choice of alpha are not stated, so its numbers are on no scale of ours: context, not a
comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "arXiv 2506.21015v1, Table 2 (another split and test set)"
_ISIC, _FITZPATRICK = ("bcc", "mel", "nv"), ("benign", "malignant", "non-neoplastic")
# Accuracy in per cent, precision, recall.
_PRINTED: dict[str, dict[tuple[str, ...], tuple[float, float, float]]] = {
    "none": {_ISIC: (71.67, 0.62, 0.56), _FITZPATRICK: (56.89, 0.56, 0.56)},
    "dcgan": {_ISIC: (73.67, 0.67, 0.68), _FITZPATRICK: (60.00, 0.60, 0.59)},
    "mosaiq": {_ISIC: (70.06, 0.56, 0.62), _FITZPATRICK: (51.25, 0.49, 0.50)},
    "hybridq": {_ISIC: (74.67, 0.72, 0.70), _FITZPATRICK: (61.22, 0.62, 0.62)},
}


@dataclass(frozen=True)
class Printed:
    """Scores as printed, from 0 to 1."""

    accuracy: float
    precision: float
    recall: float


def printed_scores(classes: tuple[str, ...], model: str) -> Printed | None:
    """Return what the paper prints for a model at its best alpha, or for no augmentation; None if it prints nothing.

    Args:
        classes: of the study; the paper has MEL, NV and BCC of ISIC 2019, and three of Fitzpatrick17k.
        model: name of the model behind the generated images, or ``none``.
    """
    found = _PRINTED.get(model, {}).get(tuple(sorted(name.casefold() for name in classes)))
    return None if found is None else Printed(round(found[0] / 100, 4), found[1], found[2])

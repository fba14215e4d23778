"""The FIDs that the HybridQ paper prints, for a column of their own.

They are on no scale of ours: the paper names Inception v3 but neither layer, number of images, resizing nor real images
(arXiv 2506.21015v1, section 4.1 and Table 1).
"""

from __future__ import annotations

SOURCE = "arXiv 2506.21015v1, Table 1"
# Their row of MosaiQ is the same for ISIC 2019 and for Fitzpatrick17k: at least one of the two is a copying error.
MOSAIQ_ROW_TWICE = "mosaiq"

_ISIC = ("MEL", "NV", "BCC")
_FITZPATRICK = ("benign", "malignant", "non-neoplastic")
_PRINTED = {
    "dcgan": ((21.23, 16.51, 19.60), (25.16, 28.42, 26.56)),
    "mosaiq": ((36.22, 53.39, 43.00), (36.22, 53.39, 43.00)),
    "hybridq": ((14.93, 21.76, 13.29), (18.34, 13.29, 9.99)),
}


def printed_fid(model: str, class_name: str, classical_baseline: bool) -> float | None:
    """Return the FID that the paper prints for a model (simulated, not on hardware) on a class, None if it prints none."""
    if classical_baseline or model not in _PRINTED:
        return None
    isic, fitzpatrick = _PRINTED[model]
    of_class = dict(zip(_ISIC, isic, strict=True)) | dict(zip(_FITZPATRICK, fitzpatrick, strict=True))
    return of_class.get(class_name)

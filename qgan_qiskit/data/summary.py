"""What a run says of its images before it trains."""

from __future__ import annotations

from typing import Any

from qgan_qiskit.data.files import shown
from qgan_qiskit.data.image_set import ImageSet


def summary_of(images: ImageSet) -> dict[str, Any]:
    """Return, for JSON: the layout, images per class and per split, groups, and images without a group."""
    splits = {split: images.splits.count(split) for split in dict.fromkeys(images.splits) if split}
    return {
        "layout": images.layout or "made or built in",
        "counts": images.counts(),
        "splits": splits,
        "groups": len(set(images.groups) - {""}),
        "without_group": images.groups.count(""),
    }


def summary_lines(images: ImageSet) -> list[str]:
    """Return the same in lines for a person; what was left out and why follows in ``images.notes``."""
    facts = summary_of(images)
    counts = ", ".join(f"{shown(name)} {number:,}" for name, number in facts["counts"].items())
    splits = ", ".join(f"{name} {number:,}" for name, number in facts["splits"].items())
    groups = f"{facts['groups']:,}" if facts["groups"] else "unknown"
    alone = f" ({facts['without_group']:,} images without one)" if facts["groups"] and facts["without_group"] else ""
    return [
        f"data: {facts['layout']}; {len(images):,} images: {counts}; "
        f"splits of the source's own: {splits or 'none'}; patients or lesions: {groups}{alone}"
    ]

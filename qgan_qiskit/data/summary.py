"""What a run says of its images before it trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from qgan_qiskit.data.files import shown
from qgan_qiskit.data.image_set import ImageSet
from qgan_qiskit.data.listing import Listing


def summary_of(images: ImageSet) -> dict[str, Any]:
    """Return, for JSON: the layout, images per class and per split, groups, and images without a group."""
    return _facts(images.layout or "made or built in", images.counts(), images.splits, images.groups)


def summary_lines(images: ImageSet) -> list[str]:
    """Return the same in lines for a person; what was left out and why follows in ``images.notes``."""
    return [_line(summary_of(images))]


def listed_lines(listing: Listing) -> list[str]:
    """Return the lines for images that are listed and not decoded, with all notes: of all classes and parts together."""
    counts = Counter(listing.labels)
    facts = _facts(listing.layout, {name: counts[name] for name in listing.classes}, listing.splits, listing.groups)
    return [*(f"note: {note}" for note in listing.notes), _line(facts)]


def _facts(layout: str, counts: dict[str, int], splits: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    return {
        "layout": layout,
        "counts": counts,
        "splits": {split: number for split, number in Counter(splits).items() if split},
        "groups": len(set(groups) - {""}),
        "without_group": Counter(groups)[""],
    }


def _line(facts: dict[str, Any]) -> str:
    counts = ", ".join(f"{shown(name)} {number:,}" for name, number in facts["counts"].items())
    splits = ", ".join(f"{name} {number:,}" for name, number in facts["splits"].items())
    groups = f"{facts['groups']:,}" if facts["groups"] else "unknown"
    alone = f" ({facts['without_group']:,} images without one)" if facts["groups"] and facts["without_group"] else ""
    return (
        f"data: {facts['layout']}; {sum(facts['counts'].values()):,} images: {counts}; "
        f"splits of the source's own: {splits or 'none'}; patients or lesions: {groups}{alone}"
    )

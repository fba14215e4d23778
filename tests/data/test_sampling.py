"""The draw of ``--limit``: random, by lesion, nested, and the same whatever else there is."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qgan_qiskit.data import read_images
from qgan_qiskit.data.dataset import sample_rows, split_unit

SETS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "L1", "L2", "L3", "L4"])), min_size=1, max_size=40)


def drawn(rows, limit: int, seed: int) -> set[str]:
    """Return the names that are drawn of (number, label, group)."""
    names = [f"folder/{number}.png" for number, _, _ in rows]
    labels = np.array([label for _, label, _ in rows], np.int64)
    kept = sample_rows(labels, names, [group for _, _, group in rows], limit, seed)
    assert kept.dtype == np.int64 and kept.tolist() == sorted(set(kept.tolist()))
    return {names[row] for row in kept}


@given(rows=SETS, limit=st.integers(1, 10), seed=st.integers(0, 2**63 - 1), data=st.data())
def test_numbers_nesting_lesions_and_independence(rows, limit, seed, data):
    rows = [(number, *row) for number, row in enumerate(rows)]
    found = drawn(rows, limit, seed)
    of_class = Counter(label for _, label, _ in rows)
    class_of = {f"folder/{number}.png": label for number, label, _ in rows}
    assert Counter(class_of[name] for name in found) == {c: min(n, limit) for c, n in of_class.items()}
    # A larger number only adds, the order and the other classes change nothing, folders neither.
    assert found <= drawn(rows, limit + data.draw(st.integers(0, 5)), seed)
    assert drawn(data.draw(st.permutations(rows)), limit, seed) == found
    for label in of_class:
        own = [row for row in rows if row[1] == label]
        assert drawn(own, limit, seed) == {name for name in found if class_of[name] == label}
        # At most one lesion is there in part.
        split = 0
        for unit in {split_unit(str(number), group) for number, _, group in own}:
            members = {f"folder/{number}.png" for number, _, group in own if split_unit(str(number), group) == unit}
            split += bool(members & found) and not members <= found
        assert split <= 1


def test_every_image_is_about_as_likely():
    names = [f"{row}.png" for row in range(100)]
    counts = np.zeros(100)
    for seed in range(400):
        counts[sample_rows(np.zeros(100, np.int64), names, [""] * 100, 25, seed)] += 1
    assert counts.sum() == 400 * 25
    # Five standard deviations of the binomial.
    assert np.abs(counts - 100).max() <= 5 * np.sqrt(400 * 0.25 * 0.75)


def test_the_draw_is_no_cut_by_collection(tree, settings, png):
    """Names sort by collection, as in ISIC: a cut by name takes one of them alone."""
    collections = {"MSK": 40, "HAM": 80, "BCN": 120}
    names = [f"{first}{name}_{row:04}" for first, (name, n) in enumerate(collections.items()) for row in range(n)]
    root = tree({f"mel/{name}.png": png(0, (8, 8)) for name in names})
    found = Counter(name[5:8] for name in read_images(settings(root, limit=60)).names)
    assert sum(found.values()) == 60
    for name, number in collections.items():
        assert abs(found[name] - number / 4) <= 4 * np.sqrt(number / 4 * 0.75)
    small, large = (set(read_images(settings(root, limit=limit)).names) for limit in (20, 60))
    assert small < large
    assert set(read_images(settings(root, limit=20, split_seed=1)).names) != small


def test_melanoma_of_isic_is_drawn_from_all_cameras(shared, settings):
    with (shared / "isic2019_64" / "collections.csv").open() as file:
        rows = list(csv.DictReader(file))
    of_image = {row["image"]: row["collection"] for row in rows}
    whole = Counter(row["collection"] for row in rows if row["class"] == "MEL")
    images = read_images(settings(shared / "isic2019_64", class_name="MEL", limit=400))
    found = Counter(of_image[name.rpartition("/")[2].removesuffix(".jpg")] for name in images.names)
    for name, number in whole.items():
        share = number / sum(whole.values())
        # Images of a lesion come together, which widens the spread.
        assert abs(found[name] / 400 - share) < 0.1

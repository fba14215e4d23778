"""``study augment``: do generated images help a classifier that has few real ones?

The study of arXiv 2506.21015v1, section 4.3. ``sources.py`` opens the GANs, ``plan.py`` makes the cells, ``cells.py`` runs them:
sample a few real images and add generated ones (``training_sets.py``), train a classifier (``classifier.py``), score it on real
images. ``summary.py`` chooses alpha on the validation split and compares conditions on the test split, ``report.py`` writes the
report.
"""

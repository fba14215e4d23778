"""The augmentation study of arXiv 2506.21015v1, section 4.3: do generated images help a classifier that has few real ones?

``spec.py`` says what is studied, ``sources.py`` whose images, ``protocol.py`` runs it cell by cell and ``report.py`` writes
what came out. A cell (``cell.py``) draws a few real images by lesion (``draw.py``), adds to them what its condition says
(``conditions.py``, ``amounts.py``, ``traditional.py``), trains a classifier (``backbones.py``, ``classifier.py``) and scores it
on real images only (``scores.py``). ``summary.py`` chooses alpha on the validation part and compares the conditions on the test
part (``intervals.py``).
"""

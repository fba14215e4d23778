"""Experiments of many runs: model comparison, augmentation, noise, latent geometry, circuits.

A study is a list of cells (``engine.py``) that share what ``study.json`` holds (``study_file.py``), run by an executor
(``executors.py``). Each study defines its cells, a summary of their results, and a report (``report.py``, ``templates/``).
"""

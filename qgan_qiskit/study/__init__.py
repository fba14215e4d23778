"""Whole experiments: comparison tables and the augmentation study.

A study is a list of cells (``cells.py``), each done once whatever happens, handed to an executor (``executors.py``): in this
process, or on a Dask cluster.
"""

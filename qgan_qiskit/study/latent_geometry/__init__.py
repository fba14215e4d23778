"""A trained generator as a map: in how many directions its features and images vary, and how evenly.

``middle.py`` cuts a generator open at its circuits (or at what stands in for them). ``jacobian.py``, ``path_length.py`` and
``fidelity.py`` are the measurements, ``spectrum.py`` the figures of spectra. ``plan.py`` makes the runs to be looked at,
``work.py`` looks at one of them; ``report.py`` writes ``tables.py`` and ``pictures.py``.
"""

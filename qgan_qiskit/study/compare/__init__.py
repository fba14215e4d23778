"""The comparison: models x classes x seeds at an equal budget of images seen.

``entries.py`` says which models, ``plan.py`` makes cells of equal budget, ``folder.py`` keeps what they share, ``run.py`` hands
them to an executor, ``work.py`` trains and measures one of them. ``summary.py`` is what the finished ones say, and ``report.py``
writes it: ``tables.py``, ``pictures.py``, with ``paper.py`` for the values that the paper prints.
"""

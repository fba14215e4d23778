"""``study compare``: models x classes x seeds, all with the same number of images seen.

``variants.py`` parses the models, ``plan.py`` makes cells of equal budget, ``cells.py`` trains and measures one of them,
``summary.py`` summarizes the finished ones, ``report.py`` writes the report.
"""

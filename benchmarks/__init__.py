"""Measurements against baselines: what ``tools/benchmark.py`` does.

Each in one run and, but for ``precision``, in alternation.

A module a kind (``bn`` is ``batch_norm.py``): ``measure_KIND`` gives the values, ``KIND_table``
the text; ``run.py`` chooses. ``measure.py`` has what they share. Whole steps are compared where the
difference is large, and *own time*, that of a method's code alone, where steps vary by more.
"""

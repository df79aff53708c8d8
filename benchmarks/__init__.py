"""Measurements against baselines for ``tools/benchmark.py``.

Each measures both sides in one run and, except ``precision``, in alternation.

There is one module per kind (``batch-norm`` is ``batch_norm.py``): ``measure_KIND`` returns the
values, ``KIND_table`` the text; ``run.py`` selects the kind, and ``measure.py`` has shared code.
Full steps are compared if the difference is large. If steps vary by more than that, *own time* is
compared: the time of a method's code alone.
"""

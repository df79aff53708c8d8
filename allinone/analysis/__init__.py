"""Analysis of runs: curves, conflicts, affinity, comparison and report."""

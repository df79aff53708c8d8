"""What runs did: curves, conflicts, affinity, comparison, report."""

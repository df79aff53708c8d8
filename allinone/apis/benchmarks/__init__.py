"""Side-by-side measurements: both sides of a ratio in one run, in alternation, on one batch."""

"""Solvers of small problems for the balancing methods."""

"""Balancing methods, one per file."""

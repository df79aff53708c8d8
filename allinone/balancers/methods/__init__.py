"""Balancing methods, one a file."""

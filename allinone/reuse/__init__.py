"""Extraction of tasks from a joint model, and composition of a joint model."""

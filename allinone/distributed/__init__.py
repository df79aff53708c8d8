"""Launching, communication and consistency of the processes of a run."""

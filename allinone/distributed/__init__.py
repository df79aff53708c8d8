"""Processes of one run: launching, communication, consistency."""

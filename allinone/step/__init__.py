"""The balanced training step."""

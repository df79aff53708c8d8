"""Text in, checked config out."""

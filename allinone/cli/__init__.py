"""Command lines of tools/, one program per file: arguments here, implementation in programs/."""

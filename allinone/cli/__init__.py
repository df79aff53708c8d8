"""The programs of tools/, one a file: arguments here, work in programs/."""

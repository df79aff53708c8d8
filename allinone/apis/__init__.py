"""Using the suite from Python and from the tools."""

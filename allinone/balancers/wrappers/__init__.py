"""Methods that wrap another method."""

"""Loading and checking of configs."""

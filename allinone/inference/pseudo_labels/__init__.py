"""Labels for images that lack them, by trained models whose precision is measured first."""

"""A trained model on images and videos."""

"""The old place of ``dataloaders``, for one release."""

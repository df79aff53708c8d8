"""The old place of ``toy_scenes``, for one release."""

"""Files: atomic writes, images, outputs; seeding and text."""

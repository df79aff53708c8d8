"""Configs for images a sixteenth as large."""

SIZES = {'scale', 'scales', 'img_scale', 'crop_size', 'border', 'size'}


def shrink(part) -> None:
    """Divide the sizes of images in a config by 16, rounded up to multiples of 16."""
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        if key in SIZES:
            part[key] = smaller(value)
        elif isinstance(value, (dict, list)):
            shrink(value)


def smaller(size):
    if isinstance(size, (list, tuple)):
        return type(size)(map(smaller, size))
    return -(-size // 256) * 16 if size > 0 else size // 16

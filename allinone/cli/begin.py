"""What a program does before the libraries are imported, which takes seconds."""

import sys


def begin(args) -> int:
    """Choose the device, and whether the libraries may print; returns 0, or the exit status 2.

    Args:
        args: Arguments of the command line; ``device`` and ``verbose`` are read.
    """
    from allinone.compat import import_noise
    from allinone.distributed.device import use_device
    from allinone.errors import ConfigError

    if getattr(args, 'verbose', False):
        import_noise.show()
    try:
        use_device(getattr(args, 'device', None))
    except ConfigError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0

"""Names of what the tasks of a joint model share, in configs and state dicts."""

BACKBONE = 'backbone'
SHARED_NECK = 'shared_neck'
PREFIXES = f'{BACKBONE}.', f'{SHARED_NECK}.'


def is_shared_weight(name: str) -> bool:
    """Whether a name of a joint model's state dict is of the backbone or its shared neck."""
    return name.startswith(PREFIXES)


def prefixes_of(part: str) -> tuple[str, ...]:
    """Prefixes in the state dict of ``'backbone'``, with its shared neck, or of a task."""
    return PREFIXES if part == BACKBONE else (f'tasks.{part}.',)

"""How many classes a task's head tells apart."""

from torch import nn

HEADS = ('head', 'bbox_head', 'decode_head', 'roi_head.bbox_head', 'panoptic_head')


def num_classes_of(task: nn.Module) -> int | None:
    """``num_classes`` of the task's head; None where it has none."""
    for path in HEADS:
        part = task
        for name in path.split('.'):
            part = getattr(part, name, None)
        if isinstance(part, nn.ModuleList) and len(part):
            part = part[-1]
        number = getattr(part, 'num_classes', None)
        if isinstance(number, int):
            return number
    return None

"""Text that describes a folder of toy data."""

from .classes import IGNORE
from .formats import FORMATS
from .images import TAGGED_SIZE
from .painter import MIN_VISIBLE
from .street import SCENE_SIZE

README = """# Toy street scenes

Painted by `tools/make_toy_data.py` (generator {generator}, seed {seed}); no photograph is used.

| folder | task | format | train | val | classes |
|---|---|---|---|---|---|
{rows}

Pictures of `cls` are {crop} pixels, all others {scene} pixels. In `seg`, label {ignore} is
ignored: pixels on the border of two classes, people, lamps and boxes on the pavement. In `signs`,
stop, yield and priority signs appear but belong to none of the kinds. Objects of which less than
{visible:.0%} would be visible are not painted. `toy.json` tells how the folder was made.
"""


def readme(recipe: dict, counts: dict[str, tuple[int, int]]) -> str:
    """README of the data sets with these counts of train and val pictures."""
    rows = []
    for name, (train, val) in counts.items():
        task, layout, classes, _ = FORMATS[name]
        rows.append(f'| `{name}` | {task} | {layout} | {train} | {val} | {", ".join(classes)} |')
    return README.format(
        **recipe,
        rows='\n'.join(rows),
        ignore=IGNORE,
        crop='x'.join(map(str, TAGGED_SIZE)),
        visible=MIN_VISIBLE,
        scene='x'.join(map(str, SCENE_SIZE)),
    )

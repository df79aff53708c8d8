"""Contact sheet of a search: each query in a row with its best matches, as PNG and as HTML."""

import base64
import html
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from allinone.errors import DataError
from allinone.inference.sources import MAX_PIXELS
from allinone.inference.urls import is_url
from allinone.io.images import read_image
from allinone.visualization.annotator import Annotator
from allinone.visualization.legend import BACKGROUND, INK, MUTED
from allinone.visualization.palette import Colour

from .matches import Match, Matched

SIDE, FRAME, GAP, TEXT = 128, 4, 8, 36  # pixels: of an image, its frame, between them, its text
LIKE = (480, 480)  # Size of letters
SHOWN = 50  # queries
QUERY, RIGHT, WRONG, UNKNOWN = (90, 150, 235), (40, 170, 80), (220, 55, 50), (140, 144, 152)
COLOURS: dict[bool | None, Colour] = {True: RIGHT, False: WRONG, None: UNKNOWN}
MARKS = {True: '✓', False: '✗', None: ''}  # For those who cannot tell the colours
MEANING = {True: 'right identity', False: 'wrong identity', None: 'identity not known'}

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Matches</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; }}
.row {{ display: flex; flex-wrap: wrap; gap: 8px; padding: 10px 0; border-top: 1px solid #ddd; }}
figure {{ margin: 0; width: {side}px; }}
img, .none {{ width: {side}px; height: {side}px; box-sizing: border-box; border: 4px solid;
             object-fit: contain; background: #181a1e; display: block; color: #999; }}
figcaption {{ overflow-wrap: anywhere; font-size: 12px; }}
.query {{ margin-right: 16px; }}
{colours}
</style>
</head>
<body>
<h1>Matches</h1>
<p>{summary}</p>
<p>{legend}</p>
{rows}
</body>
</html>
"""


def draw_sheet(found: Sequence[Matched], columns: int) -> np.ndarray:
    """uint8 RGB image of the first queries and their matches.

    Args:
        found: The queries.
        columns: Maximum number of matches in a row.
    """
    shown = found[:SHOWN]
    columns = max([1, *(len(matched.matches[:columns]) for matched in shown)])
    width = GAP + (columns + 1) * (SIDE + GAP) + GAP
    height = GAP + len(shown) * (SIDE + TEXT + GAP)
    sheet = np.full((height, width, 3), BACKGROUND, np.uint8)
    spots = []
    for number, matched in enumerate(shown):
        top = GAP + number * (SIDE + TEXT + GAP)
        spots.append((GAP, top, matched.query, QUERY, ['query', _who(matched.query)]))
        for place, match in enumerate(matched.matches[:columns]):
            left = 2 * GAP + (place + 1) * (SIDE + GAP)
            words = [_score(match), _who(match.row)]
            spots.append((left, top, match.row, COLOURS[match.right], words))
    for left, top, row, colour, _ in spots:
        sheet[top : top + SIDE, left : left + SIDE] = colour
        inner = _thumbnail(*_place(row))
        sheet[top + FRAME : top + SIDE - FRAME, left + FRAME : left + SIDE - FRAME] = inner
    annotator = Annotator(sheet, like=LIKE)
    for left, top, _, _, words in spots:
        for line, text in enumerate(words):
            ink = INK if line == 0 else MUTED
            y = top + SIDE + 1 + line * annotator.text_height
            annotator.text(left, y, _fitting(annotator, text), ink)
    for number, matched in enumerate(shown):
        if not matched.matches:
            top = GAP + number * (SIDE + TEXT + GAP) + SIDE // 2
            annotator.text(2 * GAP + SIDE + GAP, top, 'no match', MUTED)
    return annotator.image


def page(found: Sequence[Matched], columns: int, summary: str) -> str:
    """The same as HTML, in one file.

    Args:
        found: The queries.
        columns: Maximum number of matches of a query.
        summary: A sentence above them.
    """
    legend = '; '.join(f'<span class="{_name(key)}">{text}</span>' for key, text in MEANING.items())
    colours = {'query': QUERY, **{_name(key): colour for key, colour in COLOURS.items()}}
    rows = []
    for matched in found[:SHOWN]:
        figures = [_figure(matched.query, 'query', 'query')]
        figures += [_of_match(match) for match in matched.matches[:columns]]
        if not matched.matches:
            figures.append('<p>no match</p>')
        rows.append(f'<div class="row">{"".join(figures)}</div>')
    return PAGE.format(
        side=SIDE,
        summary=html.escape(summary),
        legend=legend,
        rows='\n'.join(rows),
        colours='\n'.join(
            f'span.{name} {{ color: rgb{colour}; }} '
            f'.{name} img, .{name} .none {{ border-color: rgb{colour}; }}'
            for name, colour in colours.items()
        ),
    )


def _of_match(match: Match) -> str:
    return _figure(match.row, _name(match.right), _score(match))


def _figure(row: Mapping[str, Any], name: str, text: str) -> str:
    known = html.escape('\n'.join(f'{key}: {value}' for key, value in row.items()))
    pixels = _pixels(*_place(row))
    if pixels is None:
        content = '<div class="none">no image</div>'
    else:
        data = base64.b64encode(cv2.imencode('.jpg', pixels[..., ::-1])[1].tobytes()).decode()
        content = f'<img alt="{html.escape(_who(row))}" src="data:image/jpeg;base64,{data}">'
    caption = f'<b>{html.escape(text)}</b> {html.escape(_who(row))}'
    return (
        f'<figure class="{name}" title="{known}">{content}<figcaption>{caption}</figcaption>'
        '</figure>'
    )


def _score(match: Match) -> str:
    return f'{match.score:.3f} {MARKS[match.right]}'.rstrip()


def _name(right: bool | None) -> str:
    return {True: 'right', False: 'wrong', None: 'unknown'}[right]


def _who(row: Mapping[str, Any]) -> str:
    """The identity, else the class of a box, else the name of the file."""
    if row.get('identity') is not None:
        camera = row.get('camera')
        return str(row['identity']) + (f' · camera {camera}' if camera is not None else '')
    return str(row.get('name') or str(row['image']).replace('\\', '/').rsplit('/', 1)[-1])


def _place(row: Mapping[str, Any]) -> tuple[str, tuple | None]:
    box = row.get('bbox')
    # Frames of a video are no files.
    path = '' if 'frame' in row or is_url(str(row['image'])) else str(row['image'])
    return path, None if box is None else tuple(box)


@lru_cache(2048)
def _pixels(path: str, box: tuple | None) -> np.ndarray | None:
    """The image or box, uint8 RGB, at most as large as a tile; None if there is none to read."""
    inner = SIDE - 2 * FRAME
    try:
        image = read_image(path, MAX_PIXELS) if path else None
    except DataError:
        image = None
    if image is None:
        return None
    if box is not None:
        height, width = image.shape[:2]
        x1, y1, x2, y2 = np.nan_to_num(box).clip(0, (width, height, width, height))
        left, top = min(int(x1), width - 1), min(int(y1), height - 1)
        image = image[top : max(int(np.ceil(y2)), top + 1), left : max(int(np.ceil(x2)), left + 1)]
    scale = inner / max(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=method)[..., ::-1])


def _thumbnail(path: str, box: tuple | None) -> np.ndarray:
    """The image in the middle of a dark tile."""
    inner = SIDE - 2 * FRAME
    tile = np.full((inner, inner, 3), BACKGROUND, np.uint8)
    pixels = _pixels(path, box)
    if pixels is None:
        annotator = Annotator(tile, like=LIKE)
        annotator.text(8, inner // 2 - 8, 'no image', MUTED)
        return annotator.image
    height, width = pixels.shape[:2]
    top, left = (inner - height) // 2, (inner - width) // 2
    tile[top : top + height, left : left + width] = pixels
    return tile


def _fitting(annotator: Annotator, text: str) -> str:
    """The text, cut to the width of a tile."""
    if annotator.width(text) <= SIDE:
        return text
    while text and annotator.width(f'{text}…') > SIDE:
        text = text[:-1]
    return f'{text}…'

"""Pages are written for GitHub; MkDocs reads another Markdown, in which lists need more space."""

import re

FENCE = re.compile(r'\s*```')
ITEM = re.compile(r'(?:[-*+]|\d+\.) ')


def for_mkdocs(text: str) -> str:
    """The text with a blank line before each list, and nested items 4 spaces further in.

    Args:
        text: Markdown of a page. Code is left as it is.
    """
    lines: list[str] = []
    in_code = False
    for line in text.split('\n'):
        before = lines[-1] if lines else ''
        if FENCE.match(line):
            in_code = not in_code
        elif not in_code:
            if ITEM.match(line) and before.strip() and not _continues(before):
                lines.append('')
            line = re.sub(r'^( +)', r'\1\1', line)
        lines.append(line)
    return '\n'.join(lines)


def _continues(line: str) -> bool:
    """Whether a line is a part of a list, or a heading, after which a list may begin."""
    return bool(ITEM.match(line) or line.startswith((' ', '#')))


def on_page_markdown(markdown: str, **_) -> str:
    """Called by MkDocs for each page."""
    return for_mkdocs(markdown)

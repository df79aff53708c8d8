"""Docstrings as Markdown: examples become code, roles of Sphinx the name that they hold."""

import re

import griffe

ROLE = re.compile(r':(?:attr|class|data|exc|func|math|meth|mod):`~?([^`]*)`')
EXAMPLE = re.compile(r'((?:^ *(?:>>>|\.\.\.) ?.*\n?)+)', re.MULTILINE)


def as_markdown(text: str) -> str:
    """The text of a docstring as Markdown."""

    def code(match: re.Match) -> str:
        lines = match[1].splitlines()
        indent = ' ' * (len(lines[0]) - len(lines[0].lstrip()))
        return '\n'.join([f'{indent}```python', *lines, f'{indent}```', ''])

    return EXAMPLE.sub(code, ROLE.sub(r'`\1`', text))


class Docstrings(griffe.Extension):
    """Changes each docstring when it is read."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Called by griffe for each class, function and module."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

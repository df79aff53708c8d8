"""JSON files too big to be read at once, element by element."""

import json
import os
from collections.abc import Iterator
from typing import Any

__all__ = ['stream']

CHUNK = 1 << 22  # characters
SPACE = ' \t\r\n'


def stream(path: str | os.PathLike) -> Iterator[tuple[str | None, Any]]:
    """The elements of a list, or of the lists in an object, each as ``(key, element)``.

    A list's elements have the key None; what is no list in an object comes as ``(key, value)``.
    Each element is decoded by the standard library's decoder; only the punctuation between them
    is read here, so that memory holds one element and what was read ahead.

    Raises:
        ValueError: If the file is no such JSON, or ends too early.
    """
    with open(path, encoding='utf-8') as file:
        text = _Text(file)
        start = text.next()
        if start == '[':
            yield from ((None, element) for element in text.elements())
        elif start == '{':
            for key in text.keys():
                if text.peek() == '[':
                    text.next()
                    yield from ((key, element) for element in text.elements())
                else:
                    yield key, text.value()
        else:
            raise ValueError(f'a list or an object must come first, not {start!r}')


class _Text:
    def __init__(self, file):
        self.file = file
        self.buffer, self.position = '', 0
        self.ended = False
        self.decode = json.JSONDecoder().raw_decode

    def _more(self) -> bool:
        if self.ended:
            return False
        # As much as is there, so that an element longer than a chunk is tried few times.
        chunk = self.file.read(max(CHUNK, len(self.buffer) - self.position))
        if not chunk:
            self.ended = True
            return False
        self.buffer, self.position = self.buffer[self.position :] + chunk, 0
        return True

    def peek(self) -> str:
        while True:
            buffer, position, end = self.buffer, self.position, len(self.buffer)
            while position < end and buffer[position] in SPACE:
                position += 1
            self.position = position
            if position < end:
                return buffer[position]
            if not self._more():
                raise ValueError('it ends too early')

    def next(self) -> str:
        character = self.peek()
        self.position += 1
        return character

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self.decode(self.buffer, self.position)
                # A number that touches the end of what was read may have more digits.
                if end < len(self.buffer) or not self._more():
                    self.position = end
                    return value
            except json.JSONDecodeError as error:
                if not self._more():
                    raise ValueError(f'it ends too early, or is no JSON: {error.msg}') from error

    def elements(self) -> Iterator[Any]:
        """What follows a bracket, up to the closing one."""
        if self.peek() == ']':
            self.next()
            return
        while True:
            yield self.value()
            if self._after(']'):
                return

    def keys(self) -> Iterator[str]:
        """The keys after a brace; the caller takes each one's value."""
        if self.peek() == '}':
            self.next()
            return
        while True:
            key = self.value()
            if self.next() != ':':
                raise ValueError(f'after the key {key!r} must come a colon')
            yield key
            if self._after('}'):
                return

    def _after(self, closing: str) -> bool:
        character = self.next()
        if character not in (',', closing):
            raise ValueError(f'after an element must come a comma, not {character!r}')
        return character == closing

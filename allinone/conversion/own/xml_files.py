"""Reading of XML files without entities, which could grow or name other files."""

import os
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

__all__ = ['parse', 'root_tag']


def parse(path: str | os.PathLike) -> ElementTree.Element:
    """Root element of a file.

    Raises:
        ValueError: If it is no XML, is cut short, or declares entities.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse
    with open(path, 'rb') as file:
        try:
            parser.ParseFile(file)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from error
    return builder.close()


def _refuse(name, *_) -> NoReturn:
    raise ValueError(f'it declares the entity {name!r}, which no tool for labels writes')


def root_tag(path: Path) -> str:
    """Name of the first element; empty if there is none."""
    parser, found = expat.ParserCreate(), []
    parser.StartElementHandler = lambda tag, _: found.append(tag)
    with open(path, 'rb') as file:
        try:
            while not found and (block := file.read(1 << 12)):
                parser.Parse(block)
        except expat.ExpatError:
            pass
    return found[0] if found else ''

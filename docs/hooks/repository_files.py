"""Files of the repository that pages link to become pages of the site: it needs no host."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import dirname, join, normpath, relpath

ROOT = Path(__file__).resolve().parents[2]
DOCS = 'docs/'
# Where they are on the site
PLACE = 'repository/'
LINK = re.compile(r'(\]\()([^)\s]+)(\))')
CODE = re.compile(r'(```.*?```|`[^`\n]*`)', re.DOTALL)
LANGUAGES = {'.py': 'python', '.sh': 'bash', '.toml': 'toml'}


def page_of(path: str) -> str:
    """Page of the site, relative to ``docs/``, that shows a file of the repository."""
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    return PLACE + (path if path.endswith('.md') else f'{path}.md')


def targets(text: str, path: str) -> Iterator[tuple[str, str]]:
    """Relative links of a page with the file of the repository that each means.

    Args:
        text: Its Markdown.
        path: Of the page in the repository.
    """
    for match in LINK.finditer(CODE.sub('', text)):
        link = match[2].partition('#')[0]
        if link and '://' not in link and not link.startswith(('mailto:', '/')):
            yield match[2], normpath(join(dirname(path), link))


def with_site_links(text: str, path: str) -> str:
    """The text with links to pages in place of those to files outside of ``docs/``."""
    here = dirname(page_of(path))
    for link, target in set(targets(text, path)):
        if not (target.startswith(DOCS) and path.startswith(DOCS)):
            anchor = link.partition('#')[1:]
            text = text.replace(
                f']({link})', f']({relpath(page_of(target), here)}{"".join(anchor)})'
            )
    return text


def on_files(files, config):
    """Called by MkDocs with the files that it found."""
    from mkdocs.structure.files import File

    queue = [file for file in files if file.src_uri.endswith('.md') and file.generated_by is None]
    while queue:
        file = queue.pop()
        path = DOCS + file.src_uri
        if file.src_uri.startswith(PLACE):
            path = file.src_uri.removeprefix(PLACE)
        for _, target in targets(file.content_string, path):
            source = ROOT / target
            if target.startswith(DOCS) or not source.is_file() or files.get_file_from_path(
                page_of(target)
            ):  # fmt: skip
                continue
            text = source.read_text(encoding='utf-8')
            shown = text if target.endswith('.md') else _listing(target, text)
            page = File.generated(config, page_of(target), content=shown)
            files.append(page)
            if target.endswith('.md'):
                queue.append(page)
    return files


def _listing(path: str, text: str) -> str:
    language = LANGUAGES.get(PurePosixPath(path).suffix, 'text')
    return f'# {path}\n````{language}\n{text.rstrip()}\n````\n'


def on_page_markdown(markdown: str, page, **_) -> str:
    """Called by MkDocs for each page."""
    uri = page.file.src_uri
    if uri.startswith(PLACE):
        path = uri.removeprefix(PLACE)
        return with_site_links(markdown, path) if os.path.exists(ROOT / path) else markdown
    return with_site_links(markdown, DOCS + uri)

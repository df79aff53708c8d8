"""The site of the pages, built as `make docs` builds it."""

import os
import re
import subprocess
import sys
from urllib.parse import unquote

import pytest
from conftest import ROOT

from allinone.cli.entry import programs

pytest.importorskip('mkdocs')
pytest.importorskip('mkdocstrings')
# What a browser loads with a page
LOADED = re.compile(r'<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)="([^"]+)"')
LINKS = re.compile(r'<a\b[^>]*?\bhref="([^"#]+)(#[^"]*)?"')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-f', ROOT / 'mkdocs.yml', '-d']
    # Without a network: what asks for one meets a proxy that nobody serves.
    proxies = {f'{name}_proxy': 'http://127.0.0.1:9' for name in ('http', 'https')}
    env = dict(os.environ, PYTHONPATH=str(ROOT), NO_MKDOCS_2_WARNING='1', **proxies)
    found = subprocess.run([*command, out], capture_output=True, text=True, env=env)
    assert found.returncode == 0, found.stdout + found.stderr
    return out


def test_pages_load_and_link_only_what_is_there(site):
    pages = [page for page in site.rglob('*.html') if page.name != '404.html']
    assert len(pages) > 60
    for page in pages:
        text = page.read_text()
        loaded = [path for path in LOADED.findall(text) if not path.startswith('data:')]
        assert not [path for path in loaded if '//' in path], page
        links = [link for link, _ in LINKS.findall(text) if '://' not in link]
        for path in {*loaded, *links} - {'.'}:
            assert (page.parent / unquote(path.partition('?')[0])).exists(), (page, path)


def test_the_reference_has_commands_keys_and_names(site):
    commands = (site / 'reference/commands.html').read_text()
    for name in programs():
        assert f'>allinone {name}<' in commands
    assert 'allinone convert yolo' in commands and 'allinone analyze evaluate' in commands
    model = (site / 'reference/model.html').read_text()
    assert 'clip_grad_per_task' in model and ':class:' not in model
    balancers = (site / 'reference/balancers.html').read_text()
    assert all(f'id="allinone.balancers.methods.{name}' in balancers for name in ('pcgrad', 'famo'))
    assert 'AllInOneInferencer' in (site / 'reference/python.html').read_text()


def test_search_has_the_text_of_all_pages(site):
    index = (site / 'search/search_index.js').read_text()
    assert 'clip_grad_per_task' in index and 'tutorials/own_data.html' in index


def test_lists_and_files_of_the_repository(site):
    inner = re.search(r'<li>.*?<ul>', (site / 'resume.html').read_text(), re.DOTALL)
    assert inner
    toy = (site / 'repository/configs/toy/mobilenetv2_toy_neck.py.html').read_text()
    assert 'shared_neck' in toy


def test_docstrings_as_markdown():
    sys.path.insert(0, str(ROOT / 'docs/hooks'))
    from docstrings import as_markdown

    text = 'A :class:`~a.B`.\n\n    >>> a[0]\n    ... b\n\nEnd :func:`c`.'
    assert as_markdown(text) == (
        'A `a.B`.\n\n    ```python\n    >>> a[0]\n    ... b\n    ```\n\nEnd `c`.'
    )

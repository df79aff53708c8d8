"""The pages: links, their place on the site, and what a build changes in them."""

import re
import sys

import pytest
import yaml
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'docs/hooks'))
from config_keys import PAGES, pages, registered
from github_markdown import for_mkdocs
from repository_files import CODE, page_of, targets, with_site_links

DOCS = ROOT / 'docs'
SITE = yaml.safe_load((ROOT / 'mkdocs.yml').read_text())
BESIDE = [ROOT / name for name in ('README.md', 'CHANGELOG.md', 'CONTRIBUTING.md')]
WITH_LINKS = sorted([*DOCS.rglob('*.md'), *BESIDE])
MADE = {'reference/commands.md', 'reference/python.md', 'reference/tested_commands.md'}


def listed(nav):
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [value] if isinstance(value, str) else listed(value)


def test_each_page_is_in_the_menu_once():
    found = list(listed(SITE['nav']))
    left_out = {path.strip().lstrip('/') for path in SITE['exclude_docs'].split()}
    on_disk = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob('*.md')} - left_out
    made = MADE | {f'reference/{name}.md' for name in PAGES}
    assert sorted(found) == sorted(on_disk | made)
    assert [next(iter(part)) for part in SITE['nav'][1:]] == [
        *('Tutorial', 'How-to', 'Reference', 'Explanation', 'Results')
    ]


def anchors(text):
    """Anchors of the headings of a page, as GitHub and MkDocs name them."""
    headings = re.findall(
        r'^#+ (.*)$', re.sub(r'```.*?```', '', text, flags=re.DOTALL), re.MULTILINE
    )
    return {
        re.sub(r'[-\s]+', '-', re.sub(r'[^\w\s-]', '', head).strip().lower()) for head in headings
    }


@pytest.mark.parametrize('path', WITH_LINKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(path):
    name = path.relative_to(ROOT).as_posix()
    for link, target in targets(path.read_text(), name):
        assert (ROOT / target).exists(), link
        if '#' in link and target.endswith('.md'):
            assert link.partition('#')[2] in anchors((ROOT / target).read_text()), link
    for anchor in re.findall(r'\]\(#([^)]*)\)', CODE.sub('', path.read_text())):
        assert anchor in anchors(path.read_text()), anchor


def test_lists_for_mkdocs():
    code = '```bash\n- code\n  as it is\n```\n'
    text = f'Words:\n- one\n  goes on\n  - inner\n\n{code}1. first\n## Head\n- two'
    spaced = f'Words:\n\n- one\n    goes on\n    - inner\n\n{code}\n1. first\n## Head\n- two'
    assert for_mkdocs(text) == spaced


def test_links_out_of_docs_lead_to_pages_of_the_site():
    text = '[a](../configs/a.py) [b](b.md#c) [d](#d) [e](https://e.org) `[f](../f.py)`'
    assert with_site_links(text, 'docs/x.md') == text.replace(
        '(../configs/a.py)', '(repository/configs/a.py.md)'
    )
    assert with_site_links('[a](../../CHANGELOG.md#b)', 'docs/results/x.md') == (
        '[a](../repository/CHANGELOG.md#b)'
    )
    assert with_site_links('[a](docs/b.md#c)', 'CHANGELOG.md') == '[a](../b.md#c)'
    assert page_of('docs/b.md') == 'b.md' and page_of('tools/a.sh') == 'repository/tools/a.sh.md'


def test_each_registered_class_has_a_docstring_and_a_place():
    import ast

    classes = {name: path for found in registered().values() for name, path in found}
    assert {'AllInOne', 'PCGrad', 'SharedDataset', 'MultiTaskTrainLoop', 'AllTasks'} <= set(classes)
    text = '\n'.join(pages().values())
    for name, path in classes.items():
        assert f'::: {path}\n' in f'{text}\n'
        module = ROOT / (path.rpartition('.')[0].replace('.', '/') + '.py')
        tree = ast.parse(module.read_text()).body
        found = next(node for node in tree if getattr(node, 'name', '') == name)
        assert ast.get_docstring(found), path

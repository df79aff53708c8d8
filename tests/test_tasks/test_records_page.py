"""docs/records.md has the schema of each kind."""

import json

import pytest
from conftest import ROOT

from allinone.tasks import Classification, Detection, MultiLabelClassification, Segmentation

PAGE = ROOT / 'docs/records.md'
KINDS = (Classification, MultiLabelClassification, Detection, Segmentation)


def section(kind) -> str:
    """Title and schema of a kind, as the page has them."""
    text = json.dumps(kind.schema(), indent=2)
    return f'## `{kind().name}`\n{kind.__doc__.strip().splitlines()[0]}\n\n```json\n{text}\n```\n'


@pytest.mark.parametrize('kind', KINDS)
def test_the_page_has_the_schema(kind):
    assert section(kind) in PAGE.read_text(), f'write this into docs/records.md:\n{section(kind)}'

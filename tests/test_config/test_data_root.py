"""Where data lie, and what is said where a whole data set is missing."""

import pytest

from allinone.config.data_root import missing_data_set


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv('ALLINONE_DATA', str(tmp_path))
    return tmp_path


def test_a_missing_data_set_names_the_variable(root):
    assert missing_data_set(root / 'coco/val/1.jpg') == (
        f"there is no data set {root}/coco: set the environment variable ALLINONE_DATA (now '{root}"
        "') to the folder that holds it"
    )


def test_missing_toy_data_name_the_tool_that_makes_them(root, monkeypatch):
    tool = 'python tools/make_toy_data.py'
    assert f'{tool} --out {root}/toy; or set' in missing_data_set(root / 'toy/det/val.json')
    monkeypatch.chdir(root)
    monkeypatch.delenv('ALLINONE_DATA')
    assert f'{tool}; or set' in missing_data_set('data/toy/det/val.json')


def test_of_a_file_that_is_missing_from_a_data_set_nothing_is_said(root):
    (root / 'coco').mkdir()
    assert missing_data_set(root / 'coco/val/1.jpg') is None
    assert missing_data_set(root.parent / 'elsewhere/1.jpg') is None

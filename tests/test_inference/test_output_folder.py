"""The folder of the tool: resuming, torn lines, and files that are not its own."""

import json
from pathlib import Path

import pytest

from allinone.errors import ConfigError
from allinone.inference.output_folder import Results, read_lines

SETTINGS = dict(weights_sha256='a', tasks=['cls'], score_thr=0.3)


def test_lines_are_found_again(tmp_path):
    results = Results(tmp_path / 'out', SETTINGS)
    results.append(dict(input='x.jpg', cls=1))
    results.append(dict(input='y.jpg', cls=2))
    again = Results(tmp_path / 'out', SETTINGS, resume=True)
    assert again.done == {'x.jpg': dict(input='x.jpg', cls=1), 'y.jpg': dict(input='y.jpg', cls=2)}
    assert Results(tmp_path / 'out', SETTINGS).done == {}
    assert read_lines(tmp_path / 'out/predictions.jsonl') == ([], 0)


@pytest.mark.parametrize(
    'torn', [b'{"input": "z.jpg", "c', b'{"input": "z.jpg"}', b'\0\0\0', b'7\n']
)
def test_a_torn_last_line_is_cut_off(tmp_path, torn):
    Results(tmp_path, SETTINGS).append(dict(input='x.jpg'))
    lines = tmp_path / 'predictions.jsonl'
    whole = lines.read_bytes()
    lines.write_bytes(whole + torn)
    assert list(Results(tmp_path, SETTINGS, resume=True).done) == ['x.jpg']
    assert lines.read_bytes() == whole


def test_damage_elsewhere_is_named(tmp_path):
    Results(tmp_path, SETTINGS)
    (tmp_path / 'predictions.jsonl').write_text('{"input": "a"}\n{"inp\n{"input": "b"}\n')
    with pytest.raises(ConfigError, match='predictions.jsonl, line 2, is damaged'):
        Results(tmp_path, SETTINGS, resume=True)


def test_other_settings_are_refused(tmp_path):
    Results(tmp_path, SETTINGS).append(dict(input='a'))
    with pytest.raises(
        ConfigError, match=r'made with score_thr 0.3, which is 0.5 now; leave --resume'
    ):
        Results(tmp_path, dict(SETTINGS, score_thr=0.5), resume=True)
    assert json.loads((tmp_path / 'infer.json').read_text()) == SETTINGS
    assert list(Results(tmp_path, SETTINGS, resume=True).done) == ['a']


def test_results_of_other_settings_are_not_mixed_and_not_lost(tmp_path):
    for threshold, name in ((0.3, 'a'), (0.4, 'b'), (0.4, 'c'), (0.5, 'd')):
        results = Results(tmp_path, dict(SETTINGS, score_thr=threshold))
        for path in (results.drawing(f'{name}.jpg'), results.record(f'{name}.json')):
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text(name)
        results.append(dict(input=name))
    for folder, names, threshold in (
        ('earlier_1', ['a'], 0.3),
        ('earlier_2', ['b', 'c'], 0.4),
        ('.', ['d'], 0.5),
    ):
        assert sorted(p.stem for p in (tmp_path / folder / 'vis').iterdir()) == names
        assert sorted(p.stem for p in (tmp_path / folder / 'predictions').iterdir()) == names
        made = json.loads((tmp_path / folder / 'infer.json').read_text())
        assert made['score_thr'] == threshold
        lines, _ = read_lines(tmp_path / folder / 'predictions.jsonl')
        assert [line['input'] for line in lines] == names[-1:]


@pytest.mark.parametrize('name', ['vis', 'predictions', 'predictions.jsonl'])
def test_what_is_not_its_own_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text('mine')
    for resume in (False, True):
        with pytest.raises(ConfigError, match=rf"has \['{name}'\], but no infer.json"):
            Results(tmp_path, SETTINGS, resume)
    assert (tmp_path / name).read_text() == 'mine'
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize('text', ['no json', '{"else": 1}', '[]'])
def test_a_mark_of_something_else(tmp_path, text):
    (tmp_path / 'infer.json').write_text(text)
    with pytest.raises(ConfigError, match='infer.json is not of this tool'):
        Results(tmp_path, SETTINGS)
    assert (tmp_path / 'infer.json').read_text() == text


def test_other_files_of_the_folder_are_left_alone(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    Results(tmp_path, SETTINGS)
    assert (tmp_path / 'notes.txt').read_text() == 'mine'
    assert json.loads((tmp_path / 'infer.json').read_text()) == SETTINGS


def test_results_are_no_inputs(tmp_path):
    with pytest.raises(ConfigError, match='vis/a.jpg lies where results are written'):
        Results(tmp_path, SETTINGS, inputs=[str(tmp_path / 'vis/a.jpg')])

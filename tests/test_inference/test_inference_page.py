"""The first examples in Python of docs/inference.md run as they stand there."""

import json
import re
import shutil

from conftest import ROOT
from video_files import write_video

import allinone

PAGE = ROOT / 'docs/inference.md'


def test_the_examples_run(trained, toy_root, tmp_path, monkeypatch, capsys):
    section = PAGE.read_text().split('## From Python')[1]
    code, stream = re.findall(r'```python\n(.*?)```', section, re.DOTALL)[:2]
    assert 'allinone.load(' in code and 'to_json()' in code and 'drive.mp4' in stream
    monkeypatch.chdir(tmp_path)
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    (tmp_path / 'images').mkdir()
    for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:2]:
        shutil.copy(path, tmp_path / 'images')
    load = allinone.load
    monkeypatch.setattr(allinone, 'load', lambda _: load(trained[2], device='cpu'))
    names: dict = {}
    exec(code, names)
    result = names['r']
    assert len(names['results']) == 2 and result.path.startswith('images/')
    assert names['drawing'].shape[1] == 640 and (tmp_path / 'drawn.jpg').exists()
    assert json.loads((tmp_path / 'record.json').read_text()) == result == result.to_dict()
    assert len(list((tmp_path / 'results').glob('*/*'))) == 4
    write_video(tmp_path / 'drive.mp4', 3, rate=10)
    capsys.readouterr()
    exec(stream, names)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(' [')[0] for line in lines] == ['0 0.0', '1 0.1', '2 0.2']

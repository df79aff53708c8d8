import json

from conftest import files_of_at_most
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer


def test_values_that_find_no_room_are_missing_and_no_error(tmp_path, monkeypatch):
    """As the upstream logger hook writes them: to the file of all values and to one of its own."""
    said = []
    monkeypatch.setattr(
        'allinone.training.local_log.print_log', lambda words, logger, level: said.append(words)
    )
    with DefaultScope.overwrite_default_scope('allinone'):
        visualizer = Visualizer(
            vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path), name='full'
        )

    def log(step):
        visualizer.add_scalars(dict(loss=step / 8), step=step, file_path='own.json')

    paths = [tmp_path / 'vis_data' / name for name in ('scalars.json', 'own.json')]
    log(1)
    before = [path.read_bytes() for path in paths]
    with files_of_at_most(len(before[0]) + 5):
        log(2), log(3)
        assert [path.read_bytes() for path in paths] == before
    log(4)
    for path in paths:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert records == [dict(loss=0.125, step=1), dict(loss=0.5, step=4)]
    with files_of_at_most(5):
        log(5)
    # One of each file, each time that the disk is full
    assert [words.split(' ')[0] for words in said] == [str(path) for path in paths[::-1]] * 2
    assert 'cannot be written: File too large; the run goes on' in said[0]

"""An exception with one input is that input's error; one that all inputs would meet stops them."""

import errno
import json
import os
import weakref
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from conftest import run_tool
from video_files import write_video

from allinone.errors import AllInOneError, ConfigError, DataError
from allinone.inference import inferencer as inference
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.input_errors import ModelCheck, input_error
from allinone.inference.modes import OnePass
from allinone.inference.video import Video
from allinone.io.atomic import WriteError
from allinone.visualization.draw import draw_tasks

BAD = 77  # a grey by which planted failures know their image


def grey(level, height=48, width=64):
    return np.full((height, width, 3), level, np.uint8)


def is_bad(image):
    return bool((image == BAD).all())


@pytest.fixture
def inferencer(trained):
    return AllInOneInferencer(trained[2] / 'iter_4.pth', device='cpu', scale=None)


@pytest.fixture
def tool(trained, capfd):
    """Run ``tools/infer.py``: its exit status, its sentences, and the inputs that are done."""

    def run(out, *inputs):
        args = ('--out-dir', out, '--device', 'cpu', '--scale', 'none')
        status = run_tool('infer', trained[2] / 'iter_4.pth', *inputs, *args)
        err = capfd.readouterr().err
        assert 'Traceback' not in err
        lines = out / 'predictions.jsonl'
        done = [json.loads(line)['input'] for line in lines.open()] if lines.exists() else []
        return status, err.splitlines(), [Path(path).name for path in done]

    return run


def failing_on_bad(call, error, image_of=lambda *args: args[0]):
    def checked(*args, **kwargs):
        if is_bad(image_of(*args)):
            raise error
        return call(*args, **kwargs)

    return checked


def plant_in_model(monkeypatch, error, on=is_bad):
    predict = OnePass.predict

    def checked(self, images, *others):
        if any(map(on, images)):
            raise error
        return predict(self, images, *others)

    monkeypatch.setattr(OnePass, 'predict', checked)


@pytest.fixture
def plant(monkeypatch):
    def at(stage):
        if stage == 'predicting':
            plant_in_model(monkeypatch, TypeError('no such size'))
        elif stage == 'drawing':
            drawing = failing_on_bad(draw_tasks, ZeroDivisionError('by zero'))
            monkeypatch.setattr(inference, 'draw_tasks', drawing)
        elif stage == 'reading':
            reading = failing_on_bad(mmcv.imread, KeyError('tag'), lambda path: cv2.imread(path))
            monkeypatch.setattr('mmcv.imread', reading)
        else:
            converting = failing_on_bad(
                inference.to_record, AttributeError('no boxes'), lambda sample, *_: sample.grey
            )
            predict = OnePass.predict

            def marked(self, images, *others):
                found = predict(self, images, *others)
                for image, samples in zip(images, found):
                    for sample in samples.values():
                        sample.set_field(image, 'grey', field_type='metainfo')
                return found

            monkeypatch.setattr(OnePass, 'predict', marked)
            monkeypatch.setattr(inference, 'to_record', converting)

    return at


@pytest.mark.parametrize(
    'stage, sentence',
    [
        ('reading', "2.png: it cannot be read: KeyError: 'tag'"),
        ('predicting', '2.png (64 x 48 pixels): the model fails on it: TypeError: no such size'),
        ('converting', '2.png: its prediction cannot be converted: AttributeError: no boxes'),
        ('drawing', '2.png: drawing its prediction fails: ZeroDivisionError: by zero'),
    ],
)
def test_a_failure_at_each_stage_is_that_of_its_image(inferencer, tmp_path, plant, stage, sentence):
    paths = [str(tmp_path / f'{number}.png') for number in range(5)]
    for number, path in enumerate(paths):
        cv2.imwrite(path, grey(BAD if number == 2 else 100 + number))
    expected = inferencer(paths, batch_size=1)
    plant(stage)
    errors = []
    options = dict(batch_size=4, out_dir=tmp_path / 'out')
    found, drawings = inferencer(paths, return_vis=True, on_error=errors.append, **options)
    assert [str(error) for error in errors] == [f'{tmp_path}/{sentence}']
    for number in range(5):
        assert (found[number] is None) == (drawings[number] is None) == (number == 2)
        assert (tmp_path / f'out/predictions/{number}.json').exists() == (number != 2)
        if number != 2:
            assert found[number]['cls']['label'] == expected[number]['cls']['label']
    with pytest.raises(DataError, match='2.png') as raised:
        inferencer(paths, **options)
    assert raised.value.__cause__ is not None


def test_the_tool_continues_after_a_failure_at_each_stage(tool, tmp_path, monkeypatch):
    folder, out = tmp_path / 'in', tmp_path / 'out'
    folder.mkdir()
    long = f'{"l" * 250}.png'
    for name in ('a.png', 'draw.png', 'file.png', 'json.png', long, 'model.png', 'z.png'):
        cv2.imwrite(str(folder / name), grey(100))
    cv2.imwrite(str(folder / 'model.png'), grey(BAD))
    # Neither header nor end is damaged.
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    data = bytearray(cv2.imencode('.png', noise)[1].tobytes())
    data[3000:4000] = bytes(1000)
    (folder / 'corrupt.png').write_bytes(data)
    # A JPEG has at most 65500 pixels a side.
    cv2.imwrite(str(folder / 'draw.png'), grey(100, 2, 66_000))
    for name in ('vis/file.jpg', 'predictions/json.json'):
        (out / name).mkdir(parents=True)
    (out / 'infer.json').write_text('{"weights_sha256": "", "earlier": 1}')
    # Those of other settings are moved away, with the folders of this test.
    monkeypatch.setattr('allinone.inference.output_folder.changed_settings', lambda *_: [])
    plant_in_model(monkeypatch, IndexError('of size 64'))
    status, said, done = tool(out, folder)
    assert status == 1
    assert done == ['a.png', 'z.png']
    said = [line for line in said if line.startswith('error: ')]
    for name, sentence in {
        'corrupt.png': 'is not a readable image',
        'draw.png': 'draw.jpg cannot be encoded',
        'file.png': 'its results cannot be written: IsADirectoryError: [Errno 21]',
        'json.png': 'its results cannot be written: IsADirectoryError: [Errno 21]',
        long: 'its results cannot be written: OSError: [Errno 36] File name too long',
        'model.png': '(64 x 48 pixels): the model fails on it: IndexError: of size 64',
    }.items():
        assert [sentence in line for line in said if f'{folder}/{name}' in line] == [True], name
    assert len(said) == 6
    assert not list(out.rglob('*.tmp'))


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_stops_all_inputs(tool, tmp_path, monkeypatch, code):
    write, written = inference.write_json, []

    def full(path, *args, **kwargs):
        written.append(path)
        if len(written) == 2:
            raise OSError(code, os.strerror(code), path)
        return write(path, *args, **kwargs)

    monkeypatch.setattr(inference, 'write_json', full)
    folder = tmp_path / 'in'
    folder.mkdir()
    for number in range(6):
        cv2.imwrite(str(folder / f'{number}.png'), grey(100))
    monkeypatch.setattr('torch.get_num_threads', lambda: 1)
    status, said, done = tool(tmp_path / 'out', folder, '--batch-size', 1)
    assert status == 2 and done == ['0.png']
    assert (
        f'error: {folder}/1.png: its results cannot be written: {os.strerror(code)}; this concerns '
        'all inputs, so no other is tried'
    ) in said
    assert len(written) < 6


def test_errors_of_the_config_stop_all_inputs(inferencer, monkeypatch):
    plant_in_model(monkeypatch, ConfigError('model.x is 1'))
    errors = []
    with pytest.raises(ConfigError, match='^model.x is 1$'):
        inferencer([grey(5), grey(BAD)], on_error=errors.append)
    assert not errors


def test_a_model_that_fails_on_all_images_stops(tool, tmp_path, monkeypatch):
    folder = tmp_path / 'in'
    folder.mkdir()
    for number in range(30):
        cv2.imwrite(str(folder / f'{number:02d}.png'), grey(100, 8 + number, 16))
    plant_in_model(monkeypatch, TypeError('no head'), lambda image: True)
    status, said, done = tool(tmp_path / 'out', folder)
    assert status == 2 and not done
    errors = [line for line in said if line.startswith('error: ')]
    assert errors[-1] == (
        'error: the model fails on each of the first 10 images and on a plain grey one, so no '
        'other is tried: TypeError: no head; check the config and the device'
    )
    assert len(errors) == 10


def test_a_model_that_fails_on_many_small_images_does_not_stop(inferencer, monkeypatch):
    plant_in_model(monkeypatch, RuntimeError('too small'), lambda x: len(x) < 40)
    errors = []
    small = [grey(9, 20) for _ in range(25)]
    found = inferencer([*small, grey(9), *small], batch_size=1, on_error=errors.append)
    assert [record is not None for record in found].index(True) == 25
    assert len(errors) == 50 and 'input 50 (64 x 20 pixels)' in str(errors[-1])


def test_a_model_is_tried_once_and_only_if_it_never_worked():
    tried = []

    def fails(error):
        def predict():
            tried.append(error)
            raise error

        return predict

    failure = DataError('x')
    failure.__cause__ = RuntimeError('first')
    worked = ModelCheck(fails(RuntimeError()))
    worked.worked()
    another = ModelCheck(fails(KeyError()))
    for _ in range(30):
        worked.failed(failure)
        another.failed(failure)
    assert len(tried) == 1
    broken = ModelCheck(fails(RuntimeError('second')))
    for _ in range(9):
        broken.failed(failure)
    with pytest.raises(AllInOneError, match='RuntimeError: second; check'):
        broken.failed(failure)


def test_a_device_that_does_not_work_any_more_stops_all_inputs(inferencer, monkeypatch):
    def broken(device):
        raise RuntimeError('CUDA error: device-side assert triggered')

    plant_in_model(monkeypatch, RuntimeError('CUDA error'))
    monkeypatch.setattr('torch.cuda.synchronize', broken)
    errors = []
    inferencer([grey(BAD)], on_error=errors.append)
    assert len(errors) == 1, 'a CPU has no such state'
    inferencer.device = torch.device('cuda:0')
    with pytest.raises(AllInOneError, match='input 0 .* cuda:0 does not work any more') as raised:
        inferencer([grey(BAD), grey(5)], on_error=errors.append)
    assert not isinstance(raised.value, DataError) and len(errors) == 1


def test_an_exception_of_the_callers_function_is_no_error_of_an_input(inferencer, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((48, 64, 4), np.uint8))

    def refuse(sentence):
        raise LookupError(sentence)

    errors = []
    with pytest.raises(LookupError, match='has transparency'):
        list(inferencer.stream([str(tmp_path / 'a.png')], on_note=refuse, on_error=errors.append))
    assert not errors


def test_a_failure_in_one_video_is_that_videos_error(tool, tmp_path, monkeypatch):
    """Its frame is named; other videos and images continue."""
    for name in ('a.mp4', 'b.mp4', 'c.mp4'):
        write_video(tmp_path / name, 4)
    cv2.imwrite(str(tmp_path / 'i.png'), grey(100))
    out, levels = tmp_path / 'out', []

    def third_of_first(image):
        levels.append(round(image.mean() / 12))
        return levels == [8, 0, 1, 2]  # The image is first.

    plant_in_model(monkeypatch, OverflowError('of memory'), third_of_first)

    def opened(source):
        (out / 'vis/c.mp4').mkdir(parents=True, exist_ok=True)
        return Video(source)

    monkeypatch.setattr('allinone.cli.programs.infer.Video', opened)
    inputs = (tmp_path / name for name in ('a.mp4', 'b.mp4', 'c.mp4', 'i.png'))
    status, said, done = tool(out, *inputs, '--batch-size', 1)
    assert status == 1
    assert done == ['i.png', 'b.mp4']
    errors = [line for line in said if line.startswith('error: ')]
    assert errors[0] == (
        f'error: {tmp_path}/a.mp4, frame 2 (64 x 48 pixels): the model fails on it: '
        'OverflowError: of memory'
    )
    assert errors[1].startswith(
        f'error: {tmp_path}/c.mp4: reading, drawing or writing it fails: IsADirectoryError: '
    )
    assert len(errors) == 2
    assert sorted(path.name for path in (out / 'vis').iterdir()) == ['b.mp4', 'c.mp4', 'i.jpg']


def test_memory_of_a_failed_batch_is_released():
    """Images that are predicted one by one have the memory of the batch that failed."""

    class Tensor:
        pass

    held = []

    def predict():
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        raise RuntimeError('out of memory')

    with pytest.raises(DataError, match='x: it fails: RuntimeError: out of memory') as raised:
        with input_error('x', 'it fails'):
            predict()
    assert isinstance(raised.value.__cause__, RuntimeError) and held[0]() is None


@pytest.mark.parametrize('code', [errno.ENAMETOOLONG, errno.EISDIR, errno.EACCES])
def test_an_error_of_one_file_is_that_of_its_input(code):
    with pytest.raises(DataError, match='x.jpg: it fails: '):
        with input_error('x.jpg', 'it fails'):
            raise OSError(code, os.strerror(code))
    with pytest.raises(KeyboardInterrupt):
        with input_error('x.jpg', 'it fails'):
            raise KeyboardInterrupt
    with pytest.raises(WriteError, match='x.jpg: it fails: No space left'):
        with input_error('x.jpg', 'it fails'):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

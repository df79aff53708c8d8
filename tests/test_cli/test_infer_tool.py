"""tools/infer.py: what it writes, goes on from, skips and refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, TOY_CONFIG, run_tool
from PIL import Image
from video_files import with_durations, write_video

from allinone.errors import DataError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.modes import OnePass
from allinone.inference.output_folder import read_lines
from allinone.inference.video import Video, VideoWriter
from allinone.io import image_files as image_files
from allinone.io.images import read_image


@pytest.fixture(scope='module')
def images(toy_root):
    return [str(path) for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:4]]


@pytest.fixture
def tool(trained):
    checkpoint = trained[2] / 'iter_4.pth'
    return lambda *args, checkpoint=checkpoint: run_tool(
        'infer', TOY_CONFIG, checkpoint, *args, '--device', 'cpu'
    )


def test_tool_writes_a_drawing_and_a_record(tool, images, tmp_path):
    assert tool(*images[:2], '--out-dir', tmp_path / 'out', '--tasks', 'cls', 'seg') == 0
    for path in images[:2]:
        stem = Path(path).stem
        assert read_image(tmp_path / f'out/vis/{stem}.jpg').shape[1] == 640
        record = json.loads((tmp_path / f'out/predictions/{stem}.json').read_text())
        assert list(record) == ['cls', 'seg']
    lines = [json.loads(line) for line in (tmp_path / 'out/predictions.jsonl').open()]
    assert [line.pop('input') for line in lines] == images[:2]
    assert [line.pop('name') for line in lines] == [Path(path).stem for path in images[:2]]
    assert lines[1] == record
    assert len(list((tmp_path / 'out').rglob('*.*'))) == 6


def test_tool_goes_on_after_broken_inputs(tool, images, tmp_path, capsys):
    folder, empty = tmp_path / 'in', tmp_path / 'empty'
    folder.mkdir()
    empty.mkdir()
    (folder / 'a.jpg').write_text('text')
    shutil.copy(images[0], folder / 'b.png')
    data = Path(images[1]).read_bytes()
    (folder / Path(images[1]).name).write_bytes(data[: len(data) // 2])
    status = tool(
        folder,
        empty,
        tmp_path / 'gone.png',
        '--out-dir',
        tmp_path / 'out',
        '--tasks',
        'cls',
        'lane',
    )
    assert status == 1
    assert [path.name for path in (tmp_path / 'out/predictions').iterdir()] == ['b.json']
    errors = capsys.readouterr().err
    for name in ("'lane'", 'a.jpg', Path(images[1]).name, 'empty', 'gone.png'):
        assert sum(name in line for line in errors.splitlines() if 'error: ' in line) >= 1, name
    assert 'Traceback' not in errors


def test_tool_says_what_is_wrong_with_a_checkpoint(tool, images, tmp_path, capsys):
    bad = tmp_path / 'bad.pth'
    bad.write_text('no checkpoint')
    assert tool(images[0], '--out-dir', tmp_path / 'out', checkpoint=str(bad)) == 2
    assert 'bad.pth' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def lines_of(out):
    return read_lines(out / 'predictions.jsonl')[0]


def test_a_checkpoint_alone_is_enough(trained, images, tmp_path):
    out = tmp_path / 'out'
    args = (*images[:1], '--out-dir', out, '--device', 'cpu', '--tasks', 'cls')
    assert run_tool('infer', trained[2] / 'iter_4.pth', *args) == 0
    assert [line['input'] for line in lines_of(out)] == images[:1]
    # Its own folder may be written again.
    assert run_tool('infer', trained[2], *args) == 0
    assert len(lines_of(out)) == 1


def test_no_inputs(trained, tmp_path, capsys):
    assert run_tool('infer', TOY_CONFIG, trained[2] / 'iter_4.pth', '--out-dir', tmp_path) == 2
    assert 'no inputs are given after' in capsys.readouterr().err


def test_resuming_predicts_only_what_is_not_done(tool, images, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / 'whole', tmp_path / 'out'
    assert tool(*images, '--out-dir', whole) == 0
    assert tool(*images[:2], '--out-dir', out) == 0
    with (out / 'predictions.jsonl').open('ab') as file:
        file.write(b'{"input": "cut sh')
    seen, predict = [], OnePass.predict
    monkeypatch.setattr(
        OnePass,
        'predict',
        lambda self, images, *args: (seen.append(len(images)), predict(self, images, *args))[1],
    )
    assert tool(*images, '--out-dir', out, '--resume') == 0
    assert sum(seen) == 2
    assert [line['input'] for line in lines_of(out)] == images
    for one, other in zip(lines_of(out), lines_of(whole)):
        assert one['cls']['label'] == other['cls']['label']
    assert sorted(path.name for path in (out / 'vis').iterdir()) == sorted(
        path.name for path in (whole / 'vis').iterdir()
    )
    assert '2 of 4 inputs are done' in capsys.readouterr().err
    assert tool(*images, '--out-dir', out, '--resume', '--score-thr', '0.5') == 2
    assert 'made with score_thr 0.3, which is 0.5 now' in capsys.readouterr().err


def test_other_peoples_files_are_not_overwritten(tool, images, tmp_path, capsys):
    (tmp_path / 'vis').mkdir()
    (tmp_path / 'vis/mine.jpg').write_text('mine')
    assert tool(images[0], '--out-dir', tmp_path) == 2
    assert "has ['vis'], but no infer.json" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob('*')] == ['vis', 'mine.jpg']


def textured(height, width, shift=0):
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + shift) * 3 % 256, y * 5 % 256, (x + y) % 256], -1).astype(np.uint8)


def make_video(path, frames, rate=12.5, size=(96, 64), codec='mp4v'):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, size)
    assert writer.isOpened()
    for number in range(frames):
        writer.write(textured(size[1], size[0], number))
    writer.release()
    return path


def test_a_video_is_written_back_at_its_rate(tool, tmp_path):
    make_video(tmp_path / 'drive.mp4', 7)
    out = tmp_path / 'out'
    assert tool(tmp_path / 'drive.mp4', '--out-dir', out, '--batch-size', '3') == 0
    drawn = Video(str(out / 'vis/drive.mp4'))
    frames = list(drawn.frames())
    assert len(frames) == 7 and drawn.rate == 12.5 and drawn.damage() is None
    assert frames[0].shape[1] >= 480
    records, _ = read_lines(out / 'predictions/drive.jsonl')
    assert [record['frame'] for record in records] == list(range(7))
    assert records[5]['time'] == pytest.approx(5 / 12.5)
    assert records[0]['seg'][0]['segmentation']['size'] == [64, 96]
    assert lines_of(out) == [
        dict(input=str(tmp_path / 'drive.mp4'), name='drive', frames=7, rate=12.5)
    ]
    assert len([path for path in out.rglob('*') if path.is_file()]) == 4


def test_times_of_a_video_are_those_of_the_file(tool, tmp_path, capfd):
    path = with_durations(write_video(tmp_path / 'v.mp4', 8), [1, 1, 1, 1, 5, 5, 5, 5])
    write_video(tmp_path / 'constant.mp4', 4, rate=29.97)
    out = tmp_path / 'out'
    args = ('--batch-size', 3, '--tasks', 'cls')
    assert tool(path, tmp_path / 'constant.mp4', '--out-dir', out, *args) == 0
    records, _ = read_lines(out / 'predictions/v.jsonl')
    times = [0, 0.1, 0.2, 0.3, 0.4, 0.9, 1.4, 1.9]
    assert [record['time'] for record in records] == times
    records, _ = read_lines(out / 'predictions/constant.jsonl')
    assert [record['time'] for record in records] == [0, 0.033367, 0.066733, 0.1001]
    assert len(list(Video(str(out / 'vis/v.mp4')).frames())) == 8
    # Frame 4 is seen at 0.4 s, and drawn at 4 x 0.3 s.
    notes = [line for line in capfd.readouterr().err.splitlines() if 'constant rate' in line]
    assert notes == [
        f'note: the frames of {path} do not come at a constant rate: v.jsonl has the times of the '
        'file, and v.mp4 shows each frame for 0.3 s, up to 0.8 s from its time'
    ]


def test_times_of_a_resumed_video(tool, tmp_path, monkeypatch):
    path = with_durations(write_video(tmp_path / 'v.mp4', 6), [1, 7, 1, 1, 1, 7])
    args = (path, '--batch-size', 1, '--tasks', 'cls', '--out-dir', tmp_path / 'out')
    interrupted_in_batch_4(monkeypatch)
    assert tool(*args) == 130
    assert tool(*args, '--resume') == 0
    records, _ = read_lines(tmp_path / 'out/predictions/v.jsonl')
    assert [record['time'] for record in records] == [0, 0.1, 0.8, 0.9, 1.0, 1.1]


def interrupted_in_batch_4(monkeypatch) -> list[int]:
    """The sizes of the batches that are predicted, of which the fourth ends in Ctrl-C."""
    seen, predict = [], OnePass.predict

    def interrupted(self, images, *others):
        seen.append(len(images))
        if len(seen) == 4:
            raise KeyboardInterrupt
        return predict(self, images, *others)

    monkeypatch.setattr(OnePass, 'predict', interrupted)
    return seen


def test_an_interrupted_video_goes_on_where_it_stopped(tool, tmp_path, monkeypatch):
    make_video(tmp_path / 'drive.mp4', 6)
    whole, out = tmp_path / 'whole', tmp_path / 'out'
    args = (tmp_path / 'drive.mp4', '--batch-size', '1', '--out-dir')
    assert tool(*args, whole) == 0
    seen = interrupted_in_batch_4(monkeypatch)
    assert tool(*args, out) == 130
    kept = read_lines(out / 'predictions/drive.unfinished.jsonl')[0]
    assert not lines_of(out) and not list((out / 'vis').glob('*')) and len(kept) <= 3
    seen[:] = [0] * 10
    assert tool(*args, out, '--resume') == 0
    assert len(seen) - 10 == 6 - len(kept)
    found, expected = ((path / 'predictions/drive.jsonl').read_text() for path in (out, whole))
    assert found == expected
    assert not list(out.rglob('*unfinished*'))
    one, other = (list(Video(str(path / 'vis/drive.mp4')).frames()) for path in (out, whole))
    assert all((a == b).all() for a, b in zip(one, other)) and len(one) == len(other) == 6


def test_what_a_camera_saw_is_not_taken_for_what_it_sees(tool, tmp_path, monkeypatch):
    make_video(tmp_path / 'drive.mp4', 6)
    out = tmp_path / 'out'
    args = (tmp_path / 'drive.mp4', '--batch-size', '1', '--out-dir', out)
    seen = interrupted_in_batch_4(monkeypatch)
    assert tool(*args) == 130
    assert read_lines(out / 'predictions/drive.unfinished.jsonl')[0]
    # Opened as the file it is, and treated as a camera by the tool
    monkeypatch.setattr(
        'allinone.cli.programs.infer.is_camera', lambda source: source.endswith('.mp4')
    )
    seen[:] = [0] * 10
    assert tool(*args, '--resume') == 0
    assert len(seen) - 10 == 6
    assert len(read_lines(out / 'predictions/drive.jsonl')[0]) == 6


def test_frames_of_a_camera_are_seen_when_they_were_taken(tmp_path):
    path = str(tmp_path / 'drive.mp4')
    with VideoWriter(path, 10) as writer:
        # At 10 a second: one late, and one too early, which is left out
        for grey, time in ((0, 0.0), (80, 0.1), (160, 0.52), (200, 0.53), (240, 0.6)):
            writer.write(np.full((64, 96, 3), grey, np.uint8), time)
    greys = [round(frame[:40].mean() / 80) * 80 for frame in Video(path).frames()]
    assert greys == [0, 80, 80, 80, 80, 160, 240]


def test_times_of_a_camera(tmp_path, monkeypatch):
    video = Video(str(make_video(tmp_path / 'drive.mp4', 3)))
    monkeypatch.setattr('allinone.inference.video.is_camera', lambda source: True)
    monkeypatch.setattr('time.monotonic', iter([100.0, 100.5, 102.0]).__next__)
    assert len(list(video.frames())) == 3
    assert [video.times[frame] for frame in range(3)] == [0.0, 0.5, 2.0]


def test_what_a_container_guesses_is_no_damage(tmp_path):
    for name, missing, damaged in (
        ('drive.avi', 2, True),
        ('drive.mkv', 2, False),
        ('drive.mkv', 70, True),
    ):
        video = Video(str(make_video(tmp_path / name, 5)))
        assert len(list(video.frames())) == 5
        video.count = 5 + missing
        assert (video.damage() is not None) == damaged, name


def test_a_video_that_cannot_be_encoded_is_an_inputs_fault(tmp_path):
    with pytest.raises(DataError, match='drive.mp4 cannot be encoded'):
        with VideoWriter(str(tmp_path / 'drive.mp4'), 25) as writer:
            writer.write(np.zeros((40, 20_000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_video_with_a_broken_tail(tool, tmp_path, capfd):
    path = make_video(tmp_path / 'drive.avi', 20, codec='MJPG')
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    assert tool(path, '--out-dir', tmp_path / 'out', '--tasks', 'cls') == 1
    err = capfd.readouterr().err
    records, _ = read_lines(tmp_path / 'out/predictions/drive.jsonl')
    assert 5 < len(records) < 18
    assert f'drive.avi is damaged: {len(records)} of 20 frames can be read' in ' '.join(err.split())
    assert 'Traceback' not in err and 'mjpeg' not in err
    assert len(list(Video(str(tmp_path / 'out/vis/drive.mp4')).frames())) == len(records)


@pytest.mark.parametrize(
    'name, content, sentence',
    [
        ('cut.mp4', None, 'cannot be opened as a video'),
        ('text.mp4', b'no video', 'cannot be opened as a video'),
        ('empty.mp4', b'', 'is an empty file'),
        ('gone.mp4', 'gone', 'no such'),
    ],
)
def test_what_is_no_video(tmp_path, name, content, sentence):
    path = tmp_path / name
    if content is None:
        make_video(path, 5)
        content = path.read_bytes()[: path.stat().st_size // 2]
    if content != 'gone':
        path.write_bytes(content)
    with pytest.raises(DataError, match=f'{name}.*{sentence}'):
        Video(str(path))


def test_a_camera_that_is_not_there(tool, tmp_path, capsys):
    assert tool('97', '--out-dir', tmp_path / 'out') == 1
    assert 'camera 97 cannot be opened' in capsys.readouterr().err


def bad_inputs(folder, good):
    """Files that cannot be read, and files that can but not in full, with what is said of them."""
    data = Path(good).read_bytes()
    image = textured(40, 60)
    Image.fromarray(image).save(folder / 'truncated.jpg')
    jpeg = (folder / 'truncated.jpg').read_bytes()
    (folder / 'truncated.jpg').write_bytes(jpeg[: len(jpeg) // 2])
    (folder / 'text.jpg').write_text('text')
    (folder / 'empty.png').write_bytes(b'')
    (folder / 'folder.jpg').mkdir()
    (folder / 'nothing').mkdir()
    # The header is enough for this one.
    width = Image.new('1', (20000, 20000))
    width.save(folder / 'huge.png')
    (folder / 'good.png').write_bytes(data)
    cv2.imwrite(str(folder / 'deep.png'), image.astype(np.uint16) * 257)
    Image.fromarray(image).convert('CMYK').save(folder / 'cmyk.jpg', quality=95)
    Image.fromarray(np.dstack([image, image[..., :1]])).save(folder / 'alpha.png')
    frames = [Image.fromarray(textured(40, 60, shift)).convert('P') for shift in (0, 9)]
    frames[0].save(folder / 'moving.gif', save_all=True, append_images=frames[1:])
    Image.fromarray(image[:1, :1]).save(folder / 'dot.png')
    errors = {
        'truncated.jpg': 'is truncated',
        'text.jpg': 'is not a readable image',
        'empty.png': 'is an empty file',
        'folder.jpg': 'folder without images',
        'nothing': 'is a folder without images',
        'huge.png': 'is too large: 400,000,000 pixels',
        'gone.jpg': 'no such image or folder',
        '*.tif': 'matches no file',
    }
    notes = {
        'deep.png': 'has 16 bits a channel',
        'cmyk.jpg': 'is CMYK',
        'alpha.png': 'has transparency',
        'moving.gif': 'has 2 frames; only the first',
    }
    return errors, notes, ['good.png', 'dot.png']


def test_bad_inputs_each_get_a_sentence(tool, images, tmp_path, capfd):
    folder = tmp_path / 'in'
    folder.mkdir()
    errors, notes, silent = bad_inputs(folder, images[0])
    inputs = [folder / name for name in (*errors, *notes, *silent)]
    assert tool(*inputs, '--out-dir', tmp_path / 'out') == 1
    err = capfd.readouterr().err
    said = err.splitlines()
    for kind, sentences in (('error', errors), ('note', notes)):
        for name, sentence in sentences.items():
            found = [line for line in said if line.startswith(f'{kind}: {folder / name}')]
            assert len(found) == 1 and sentence in found[0], (name, found)
    assert 'Traceback' not in err and 'Warning' not in err
    done = {Path(line['input']).name for line in lines_of(tmp_path / 'out')}
    assert done == {*notes, *silent}
    assert len(list((tmp_path / 'out/vis').iterdir())) == len(done)


@pytest.mark.parametrize(
    'scale, says',
    [
        ((), 'images are resized to 256 x 192 with their ratio kept, the test scale of det'),
        (('--scale', 'none'), 'images keep their size, but the test pipelines resize them'),
        (('--scale', '64x48'), 'images are resized to 64 x 48 with their ratio kept, but the test'),
        (('--scale', '256x192', '--tasks', 'det'), None),
    ],
)
def test_the_scale_is_told_once(tool, images, tmp_path, capfd, scale, says):
    assert tool(images[0], '--out-dir', tmp_path / 'out', *scale) == 0
    written = capfd.readouterr()
    assert ' '.join(written.err.split()).count(says or 'note: ') == (says is not None)
    assert 'images are' not in written.out


def test_results_of_another_scale_are_not_mixed(tool, images, tmp_path, capfd):
    given = (images[0], '--out-dir', tmp_path / 'out', '--resume')
    assert tool(*given) == tool(*given) == 0
    assert tool(*given, '--scale', 'none') == 2
    assert 'was made with scale [256, 192, True], which is None now' in capfd.readouterr().err


@pytest.mark.parametrize('scale', ['640', '0x5', '640x', 'big', '640,480'])
def test_a_scale_that_is_none_is_refused(tool, images, tmp_path, capsys, scale):
    with pytest.raises(SystemExit):
        tool(images[0], '--out-dir', tmp_path / 'out', '--scale', scale)
    assert 'must be WIDTHxHEIGHT in pixels' in capsys.readouterr().err


def test_an_animation_in_a_folder_is_looked_at(tool, images, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    Image.new('RGB', (64, 48)).save(folder / 'moving.gif')
    assert tool(folder, '--out-dir', tmp_path / 'out') == 0
    assert len(lines_of(tmp_path / 'out')) == 1


def test_all_that_can_be_read_in_a_folder_is(tool, images, tmp_path, capfd):
    folder = tmp_path / 'in'
    folder.mkdir()
    image = Image.open(images[0]).convert('RGB')
    for name in ('a.jpg', 'b.jfif', 'c.jpe', 'd.jp2', 'e.avif', 'f.pgm', 'g.tif'):
        image.convert('L' if name == 'f.pgm' else 'RGB').save(folder / name)
    write_video(folder / 'h.mp4', 3)
    for name in ('i.txt', 'j.json', 'k.txt', '.hidden', 'Thumbs.db'):
        (folder / name).write_text('x')
    (folder / 'sub').mkdir()
    assert tool(folder, '--out-dir', tmp_path / 'out', '--tasks', 'cls') == 0
    assert {Path(line['input']).name[0] for line in lines_of(tmp_path / 'out')} == set('abcdefgh')
    err = capfd.readouterr().err
    assert err.count('passed over') == 2
    assert f'note: {folder}: 3 files (.txt 2, .json 1) are passed over\n' in err
    assert f'note: {folder}: 1 subfolder is passed over; give a pattern such as ' in err
    assert 'OpenJPEG' not in err, 'what OpenCV logs'


def test_videos_in_a_folder_are_named_where_only_images_are_predicted(trained, images, tmp_path):
    shutil.copy(images[0], tmp_path)
    write_video(tmp_path / 'a.mp4', 2)
    notes = []
    inferencer = AllInOneInferencer(
        trained[2] / 'iter_4.pth', device='cpu', scale=None, on_note=notes.append
    )
    assert len(inferencer(tmp_path)) == 1
    assert notes[1:] == [f'{tmp_path}: 1 file (.mp4 1) is passed over']


def test_pixels_of_unusual_images(tmp_path, images):
    bad_inputs(tmp_path, images[0])
    image = textured(40, 60)[..., ::-1]
    assert (read_image(tmp_path / 'alpha.png') == image).all()
    # OpenCV writes and reads BGR.
    assert (read_image(tmp_path / 'deep.png') == image[..., ::-1]).all()
    for name in ('cmyk.jpg', 'moving.gif'):
        assert np.abs(read_image(tmp_path / name).astype(int) - image).mean() < 20, name


def test_an_unreadable_file_and_folder(tool, images, tmp_path, capfd, monkeypatch):
    def denied(call):
        def checked(path, *args, **kwargs):
            if 'locked' in str(path):
                raise PermissionError(13, 'Permission denied', path)
            return call(path, *args, **kwargs)

        return checked

    # Root, who may run the tests, reads whatever is locked.
    monkeypatch.setattr(image_files, 'open', denied(open), raising=False)
    monkeypatch.setattr(os, 'scandir', denied(os.scandir))
    shutil.copy(images[0], tmp_path / 'locked.png')
    (tmp_path / 'locked').mkdir()
    given = (tmp_path / 'locked.png', tmp_path / 'locked', images[0])
    assert tool(*given, '--out-dir', tmp_path / 'out') == 1
    err = capfd.readouterr().err
    assert f'error: {tmp_path}/locked.png cannot be read: Permission denied' in err
    assert f'error: {tmp_path}/locked cannot be read: Permission denied' in err
    assert [line['input'] for line in lines_of(tmp_path / 'out')] == [str(images[0])]


def test_an_output_folder_that_cannot_be_written(tool, images, tmp_path, capsys):
    (tmp_path / 'file').write_text('x')
    # Also root cannot write in /proc.
    for place in ('/proc/self', '/proc/self/out', tmp_path / 'file' / 'out'):
        assert tool(images[0], '--out-dir', place) == 2
        assert 'nothing can be written in' in capsys.readouterr().err


@pytest.mark.parametrize(
    'change',
    [
        'tasks=dict(cls=dict(head=dict(num_classes=9)))',
        'tasks=dict(seg=dict(decode_head=dict(channels=24)))',
    ],
)
def test_a_checkpoint_of_another_config(trained, images, tmp_path, capsys, change):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = ['{TOY_CONFIG}']\nmodel = dict({change})\n")
    args = (images[0], '--out-dir', tmp_path / 'out', '--device', 'cpu')
    assert run_tool('infer', child, trained[2] / 'iter_4.pth', *args) == 2
    assert 'does not fit the config' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_an_interrupt_ends_in_a_sentence(trained, toy_root, tmp_path):
    """The program itself, asked to stop while it works."""
    out = tmp_path / 'out'
    command = [sys.executable, 'tools/infer.py', str(trained[2] / 'iter_4.pth')]
    many = tmp_path / 'many'
    many.mkdir()
    for number in range(200):
        shutil.copy(sorted((toy_root / 'toy/seg/images/val').iterdir())[0], many / f'{number}.jpg')
    args = [str(many), '--out-dir', str(out), '--device', 'cpu', '--batch-size', '1']
    process = subprocess.Popen(
        [*command, *args],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background may have had it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    lines = out / 'predictions.jsonl'
    while process.poll() is None and not (lines.exists() and lines.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert 'the same command with --resume goes on' in err and 'Traceback' not in err
    assert 0 < len(lines_of(out))

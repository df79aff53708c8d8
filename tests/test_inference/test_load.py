"""Calls of a loaded model: inputs of all forms, streams, and what is left of a module."""

import copy
import itertools
import json
import pickle
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from video_files import write_video

import allinone
from allinone.errors import ConfigError, DataError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.results import Result, Results
from allinone.io.images import read_image
from allinone.models.allinone import AllInOne

TASKS = ['cls', 'det', 'seg']


@pytest.fixture(scope='module')
def finding(trained):
    """The config, with boxes: after 4 steps no score is high."""
    cfg = trained[1].copy()
    cfg.merge_from_dict({'model.tasks.det.test_cfg.score_thr': 0.001})
    return cfg


@pytest.fixture(scope='module')
def model(trained, finding):
    return allinone.load(trained[2] / 'iter_4.pth', finding, 'cpu', scale=None)


@pytest.fixture(scope='module')
def paths(toy_root):
    return [str(path) for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:3]]


def test_results_are_the_records_of_the_tool(model, trained, finding, paths, tmp_path):
    inferencer = AllInOneInferencer(finding, trained[2] / 'iter_4.pth', 'cpu', scale=None)
    records = inferencer(paths, out_dir=tmp_path / 'tool')
    results = model(paths)
    assert type(results) is Results and results == records and results.to_dict() == records
    assert [result.path for result in results] == paths
    results.save(tmp_path / 'saved')
    files = sorted(path.relative_to(tmp_path / 'tool') for path in tmp_path.glob('tool/*/*'))
    assert len(files) == 6
    for file in files:
        assert (tmp_path / 'tool' / file).read_bytes() == (tmp_path / 'saved' / file).read_bytes()
    text = (tmp_path / f'tool/predictions/{Path(paths[0]).stem}.json').read_text()
    assert results[0].to_json() + '\n' == text
    assert Result(json.loads(text), image=paths[0])['seg'].areas == results[0]['seg'].areas


def test_attributes_are_what_the_model_predicts(model, paths):
    image = read_image(paths[0])
    (result,) = model(paths[0])
    samples = model.predict(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float())
    (boxes,), (labels,), (found,) = samples['det'], samples['seg'], samples['cls']
    assert np.array_equal(result['det'].boxes, boxes.pred_instances.bboxes.numpy())
    assert np.array_equal(result['det'].scores, boxes.pred_instances.scores.numpy())
    assert len(result['det']) > 0
    assert np.array_equal(result['seg'].map, labels.pred_sem_seg.data[0].numpy())
    assert sum(result['seg'].areas.values()) == pytest.approx(1)
    assert np.array_equal(result['cls'].scores, found.pred_score.numpy())
    assert result['cls'].label == int(found.pred_label) and len(result['cls'].scores) == 8
    assert np.array_equal(result.image, image)


def test_inputs_of_all_forms_give_the_same(model, paths, tmp_path):
    bgr = read_image(paths[0])
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), bgr)
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    chw = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    (expected,) = model(path)
    for inputs, channels in [
        *((str(path), 'bgr'), (tmp_path, 'bgr'), (str(tmp_path / '*.png'), 'bgr')),
        *((bgr, 'bgr'), (rgb, 'rgb'), ([rgb], 'rgb'), (rgb[None], 'rgb')),
        *((chw, 'rgb'), (chw[None], 'rgb'), (chw / 255, 'rgb'), (Image.open(path), 'bgr')),
    ]:
        (found,) = model(inputs, channels=channels)
        assert found == expected
        order = 1 if channels == 'bgr' else -1
        assert np.array_equal(found.image[..., ::order], bgr)
        assert np.array_equal(found.plot()[..., ::order], expected.plot())
    # And the other order is another image.
    assert model(rgb)[0] != expected
    with pytest.raises(ConfigError, match="channels is 'RGB'"):
        model(rgb, channels='RGB')


def test_several_forms_in_one_call(model, paths):
    image = read_image(paths[1])
    inputs = [paths[0], image, np.stack([image, image]), Path(paths[2])]
    results = model(inputs, batch_size=1, tasks='cls')
    assert [result.path for result in results] == [paths[0], None, None, None, paths[2]]
    assert [result.name for result in results][1:4] == ['input 1', 'input 2', 'input 3']
    assert results[1] == results[2] == results[3] and list(results[0]) == ['cls']


def test_an_input_that_fails_is_none_in_its_place(model, paths, tmp_path):
    errors = []
    inputs = [paths[0], tmp_path / 'gone.jpg', np.zeros((8, 8, 2), np.uint8)]
    results = model(inputs, tasks='cls', on_error=errors.append)
    # A path without images has no place, as in the inferencer.
    assert [result is None for result in results] == [False, True]
    assert 'gone.jpg: no such image' in str(errors[0])
    assert 'input 2 is uint8 of shape (8, 8, 2)' in str(errors[1])
    with pytest.raises(DataError, match='input 0 is dict'):
        model({'image': image_of(1)})
    assert results.to_json().endswith(', null]')


def image_of(level):
    return np.full((32, 32, 3), level, np.uint8)


def test_addresses_can_be_forbidden(trained):
    model = allinone.load(trained[2] / 'iter_4.pth', device='cpu', scale=None, urls=False)
    with pytest.raises(DataError, match='^http://127.0.0.1:9/a.jpg is an address, and urls=False'):
        model('http://127.0.0.1:9/a.jpg')


def test_generators_are_streamed_in_bounded_memory(model):
    taken, held = [0], []
    buffer = np.empty((32, 32, 3), np.uint8)

    def images():
        while True:
            buffer[:] = taken[0]
            taken[0] += 1
            yield buffer  # the same one again and again

    stream = model(images(), batch_size=2, tasks='cls')
    for number, result in enumerate(itertools.islice(stream, 40)):
        assert np.array_equal(result.image, image_of(number))
        assert taken[0] - number < 20
    stream.close()
    taken[0] = 0
    stream = model(images(), batch_size=2, tasks='cls')
    for result in itertools.islice(stream, 40):
        held.append(weakref.ref(result))
        del result
        assert sum(ref() is not None for ref in held) <= 2
    stream.close()


def test_lists_are_streamed_on_request(model, paths):
    stream = model(paths, stream=True, tasks='cls')
    assert not isinstance(stream, list) and list(stream) == model(paths, tasks='cls')
    assert type(model((path for path in paths), stream=False, tasks='cls')) is Results
    with pytest.raises(ConfigError, match="stream is 'yes'"):
        model(paths, stream='yes')


def test_frames_of_a_video(model, paths, tmp_path):
    video = write_video(tmp_path / 'a.mp4', 5, rate=10)
    stream = model([video, paths[0]], batch_size=1, tasks=['cls', 'seg'])
    assert not isinstance(stream, list)
    results = list(stream)
    assert [result.frame for result in results] == [0, 1, 2, 3, 4, None]
    assert [result.time for result in results[:5]] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [result.path for result in results] == [str(video)] * 5 + [paths[0]]
    assert (np.diff([result.image.mean() for result in results[:5]]) > 6).all()
    capture = cv2.VideoCapture(str(video))
    assert model(capture.read()[1], tasks=['cls', 'seg']) == results[:1]
    capture.release()
    assert results[3]['seg'].map.shape == (48, 64) and results[3].name == f'{video}, frame 3'
    Results(results).save(tmp_path / 'out')
    assert len(list((tmp_path / 'out/vis').iterdir())) == 6


def test_a_damaged_video_gives_its_frames_before_the_error(model, tmp_path):
    path = write_video(tmp_path / 'a.avi', 20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 17 // 20])
    found = []
    with pytest.raises(DataError, match='a.avi is damaged: .* of 20 frames can be read'):
        for result in model(path, tasks='cls'):
            found.append(result)
    assert 2 < len(found) < 18
    with pytest.raises(DataError, match='b.mp4: no such'):
        list(model(tmp_path / 'b.mp4'))


def test_boxes_are_classified(model, finding, paths):
    (result,) = model(paths[0], tasks='det', classify_boxes='cls')
    assert all(box['cls'].keys() >= {'label', 'top5'} for box in result['det'])
    assert result.plot(score_thr=0).shape[2] == 3


def test_it_is_the_model_that_was_trained(model, trained):
    assert isinstance(model, AllInOne) and type(model).__name__ == 'AllInOne'
    assert not [name for name in model.state_dict() if name.startswith('_')]
    batch = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        raw = model(batch, mode='tensor', tasks=['cls'])
        assert torch.equal(raw['cls'][0], model.forward(batch, tasks=['cls'])['cls'][0])
        assert torch.equal(
            raw['cls'][0], model(inputs=batch, tasks=['cls'], mode='tensor')['cls'][0]
        )
        assert model(batch, None, 'tensor', tasks=['cls']).keys() == {'cls'}


def test_copies_predict_with_their_own_weights(model, paths):
    expected = model(paths[0], tasks='cls')
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again(paths[0], tasks='cls') == expected
        for parameter in again.tasks['cls'].parameters():
            parameter.data.zero_()
        assert again(paths[0], tasks='cls') != expected
        assert model(paths[0], tasks='cls') == expected


def test_tasks_scale_and_mode_are_those_of_the_inferencer(trained, paths):
    checkpoint = trained[2] / 'iter_4.pth'
    for options in (dict(tasks=['seg'], scale=(96, 96)), dict(mode='as_tested')):
        expected = AllInOneInferencer(checkpoint, device='cpu', **options)(paths[:1])
        found = allinone.load(checkpoint, device='cpu', **options)(paths[0])
        assert found == expected
    with pytest.raises(ConfigError, match="'det'.* not among those"):
        allinone.load(checkpoint, device='cpu', tasks=['seg'])(paths[0], tasks=['det'])


def test_a_model_in_training_mode_does_not_predict(trained, paths):
    model = allinone.load(trained[2] / 'iter_4.pth', device='cpu')
    with pytest.raises(ConfigError, match='training mode.*; call model.eval()'):
        model.train()(paths[0])
    assert len(model.eval()(paths[0])) == 1

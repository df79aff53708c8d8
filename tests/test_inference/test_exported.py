"""Exported graphs in the place of a checkpoint: inference, tests and refusals."""

import copy
import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import run_tool, write_config
from exported_models import shaken, small, write_checkpoint

import allinone
from allinone.checkpoint.loading import read_checkpoint, trusting_checkpoints
from allinone.errors import CheckpointError, ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.io.exported import KEY, read_metadata
from allinone.io.images import read_image
from allinone.models.exported import ExportedModel, runtimes
from allinone.reuse.export import export
from allinone.reuse.export.formats import convert_to_openvino
from allinone.training.run import test as run_test

SIZE = (192, 256)  # Of the toy images
# Share of equal pixels where files were resized: a graph's labels are enlarged, a model's scores
SCALED = 0.95


@pytest.fixture(scope='module')
def toy(toy_root, tmp_path_factory):
    """A config, its model and checkpoint, and a graph of all tasks for images of ``SIZE``."""
    folder = tmp_path_factory.mktemp('graphs')
    cfg = small(folder / 'work')
    # Its files are smaller than those of the others.
    resize = dict(type='mmpretrain.Resize', scale=SIZE[::-1])
    cfg.test_dataloader.cls.dataset.pipeline.insert(1, resize)
    model = shaken(cfg)
    checkpoint = str(write_checkpoint(cfg, model, folder / 'toy.pth'))
    export(checkpoint, folder / 'F.onnx', size=SIZE)
    config = write_config(cfg, folder / 'config.py')
    return SimpleNamespace(
        model=model,
        cfg=cfg,
        config=config,
        checkpoint=checkpoint,
        folder=folder,
        graph=str(folder / 'F.onnx'),
    )


def changed(source, path, change):
    graph = onnx.load(source)
    (entry,) = [prop for prop in graph.metadata_props if prop.key == KEY]
    about = json.loads(entry.value)
    change(about)
    entry.value = json.dumps(about)
    onnx.save(graph, path)
    return path


@pytest.fixture(scope='module')
def images(toy_root):
    return [str(path) for path in sorted((toy_root / 'toy/seg/images/val').iterdir())[:3]]


def assert_same_records(ours, theirs, pixels=0.999):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        assert list(one) == list(other)
        assert one['cls']['label'] == other['cls']['label']
        assert one['cls']['score'] == pytest.approx(other['cls']['score'], abs=1e-3)
        assert 'det' not in one or len(one['det']) == len(other['det']) > 0
        for box, like in zip(one.get('det', ()), other.get('det', ())):
            assert box['label'] == like['label'] and box['name'] == like['name']
            assert box['bbox'] == pytest.approx(like['bbox'], abs=0.5)
            assert box['score'] == pytest.approx(like['score'], abs=1e-3)
        assert one['seg'].shape == other['seg'].shape
        assert np.mean(one['seg'] == other['seg']) >= pixels


def test_a_graph_gives_the_records_of_the_checkpoint(toy, images, tmp_path):
    found = AllInOneInferencer(toy.graph)(images, masks='array')
    checkpoint = AllInOneInferencer(toy.checkpoint, device='cpu', scale=SIZE[::-1])
    assert_same_records(found, checkpoint(images, masks='array'))
    # A larger file, to whose size predictions are scaled back
    large = str(tmp_path / 'large.png')
    cv2.imwrite(large, cv2.resize(read_image(images[0]), None, fx=1.5, fy=1.5))
    found = AllInOneInferencer(toy.graph)(large, masks='array')
    assert found[0]['seg'].shape == (288, 384)
    assert_same_records(found, checkpoint(large, masks='array'), SCALED)


def test_images_of_another_shape_are_fitted_and_padded(toy, images):
    """As the model itself does it on the padded image."""
    upright = np.ascontiguousarray(read_image(images[0]).transpose(1, 0, 2))  # 256 x 192
    (found,) = AllInOneInferencer(toy.graph)(upright, masks='array')
    fitted = cv2.resize(upright, (144, 192))
    pixels = torch.from_numpy(fitted.transpose(2, 0, 1).copy()).float()
    model = toy.model
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    batch = torch.zeros(1, 3, *SIZE)
    batch[0, :, :, :144] = (pixels.flip(0) - mean) / std
    info = [dict(ori_shape=(256, 192), scale_factor=(0.75, 0.75))]
    samples = model.predict_batch(batch, list(model.tasks), [(192, 144)], info)
    expected = samples['det'][0].pred_instances
    boxes = [box['bbox'] for box in found['det']]
    assert len(boxes) == len(expected) > 0
    assert np.allclose(boxes, expected.bboxes, atol=0.5)
    assert found['cls']['label'] == int(samples['cls'][0].pred_label)
    same = found['seg'] == samples['seg'][0].pred_sem_seg.data[0].numpy()
    assert found['seg'].shape == (256, 192) and same.mean() > SCALED


def test_load_gives_results_of_a_graph(toy, images):
    model = allinone.load(toy.graph)
    assert type(model).__name__ == 'ExportedModel' and list(model.tasks) == ['cls', 'det', 'seg']
    (result,) = model(images[0], tasks=['det', 'cls'])
    (record,) = AllInOneInferencer(toy.graph)(images[0], tasks=['det', 'cls'])
    assert result.to_dict() == record and len(result['det'].boxes) > 0
    assert copy.deepcopy(model)(images[0], tasks=['cls'])[0].to_dict() == dict(cls=record['cls'])
    with pytest.raises(ConfigError, match='exported graph, which has no forward'):
        model(torch.zeros(1, 3, *SIZE), mode='tensor')


def test_openvino_gives_the_same(toy, images):
    path = str(toy.folder / 'F.xml')
    convert_to_openvino(toy.graph, read_metadata(toy.graph), path)
    found = AllInOneInferencer(path)(images[:2], masks='array')
    assert_same_records(found, AllInOneInferencer(toy.graph)(images[:2], masks='array'))


def test_a_graph_of_any_size_takes_other_scales(toy, images):
    path = toy.folder / 'F.pt2'
    dynamic = ('batch', 'size')
    export(toy.checkpoint, path, 'pt2', tasks=['cls'], size=(64, 96), dynamic=dynamic)
    with pytest.raises(CheckpointError, match='is refused: torch.export.load can run code'):
        AllInOneInferencer(path)
    for scale in ((128, 96), None):
        with trusting_checkpoints():
            found = AllInOneInferencer(path, scale=scale)(images)
        checkpoint = AllInOneInferencer(toy.checkpoint, device='cpu', tasks=['cls'], scale=scale)
        for ours, theirs in zip(found, checkpoint(images)):
            assert ours['cls']['label'] == theirs['cls']['label']
            assert ours['cls']['score'] == pytest.approx(theirs['cls']['score'], abs=1e-3)
    with trusting_checkpoints():
        model = ExportedModel(str(path))
    calls = []
    run = model.runtime.run
    model.runtime.run = lambda batch: calls.append(batch.shape) or run(batch)
    sizes = [(64, 96), (96, 64), (60, 90), (64, 96)]
    made = [torch.full((3, *size), 99.0) for size in sizes]
    scores = [sample.pred_score for sample in model.predict(made)['cls']]
    # Images of one size after padding share a call.
    assert calls == [(3, 3, 64, 96), (1, 3, 96, 64)]
    assert torch.equal(scores[0], scores[3]) and not torch.equal(scores[0], scores[2])


def test_the_test_gives_the_metrics_of_the_checkpoint(toy, tmp_path, capsys):
    found = {}
    for name in ('toy.pth', 'F.onnx'):
        out = tmp_path / f'{name}.json'
        argv = [toy.config, toy.folder / name, '--out', out, '--work-dir', tmp_path / 'work']
        assert run_tool('test', *argv, '--show-dir', tmp_path / name, '--device', 'cpu') == 0
        found[name] = json.loads(out.read_text())
    assert len(list((tmp_path / 'F.onnx').rglob('*.*'))) > 3
    theirs, ours = found.values()
    assert ours.keys() == theirs.keys() and 'score' in ours
    assert theirs['seg/mIoU'] > 1
    for name, value in theirs.items():
        percent = 100 if name.startswith('det/') else 1
        assert abs(ours[name] - value) * percent <= 0.1 or np.isnan(value), name


def test_a_graph_of_one_size_is_tested_on_padded_images(toy, tmp_path, capsys):
    cfg, out = copy.deepcopy(toy.cfg), tmp_path / 'out.json'
    del cfg.test_dataloader.cls.dataset.pipeline[1]
    argv = [
        write_config(cfg, tmp_path / 'config.py'),
        toy.graph,
        '--out',
        out,
        '--work-dir',
        tmp_path / 'work',
        '--tasks',
        'cls',
    ]
    assert run_tool('test', *argv) == 0
    assert 'such as one of 96 x 128 (height x width), are padded to 192 x 256' in ''.join(
        capsys.readouterr()
    )
    assert 'cls/top1' in json.loads(out.read_text())


def test_the_tool_writes_drawings_and_records(toy, images, tmp_path, capsys):
    path = toy.graph
    argv = ['infer', path, *images[:2], '--out-dir', tmp_path / 'out']
    assert run_tool(*argv, '--tasks', 'cls', 'depth') == 1
    assert f"--tasks has 'depth', skipped; {path} has ['cls', 'det', 'seg']" in (
        capsys.readouterr().err
    )
    lines = [json.loads(line) for line in (tmp_path / 'out/predictions.jsonl').open()]
    assert [line['input'] for line in lines] == images[:2] and 'cls' in lines[0]
    assert len(list((tmp_path / 'out/vis').iterdir())) == 2
    assert run_tool(*argv, '--tasks', 'cls', '--resume') == 0


# ---------------------------------------------------------------------- refusals


def test_graphs_that_give_no_predictions(toy, tmp_path):
    source = toy.graph
    other = onnx.load(source)
    del other.metadata_props[:]
    onnx.save(other, tmp_path / 'other.onnx')
    changed(source, tmp_path / 'newer.onnx', lambda about: about.update(version=99))
    changed(source, tmp_path / 'raw.onnx', lambda about: about.update(raw=True))
    changed(source, tmp_path / 'kind.onnx', lambda about: about['tasks']['cls'].update(kind='x'))
    changed(source, tmp_path / 'part.onnx', lambda about: about.pop('input'))
    said = {
        'other.onnx': "has no metadata 'allinone', so another program wrote it",
        'newer.onnx': 'has metadata of version 99',
        'raw.onnx': 'was exported with --raw, so what it gives are no predictions',
        'kind.onnx': "task cls is of the kind 'x', and only .* are registered",
        'part.onnx': "is damaged .*'input'",
        'absent.onnx': 'is not there',
    }
    for name, words in said.items():
        for use in (AllInOneInferencer, allinone.load):
            with pytest.raises((CheckpointError, ConfigError), match=words):
                use(tmp_path / name)
        with pytest.raises((CheckpointError, ConfigError), match=words):
            run_test(toy.cfg, str(tmp_path / name))


def test_a_graph_whose_weights_are_damaged(toy, tmp_path):
    graph = onnx.load(toy.graph)
    graph.graph.node[0].op_type = 'Nothing'
    onnx.save(graph, tmp_path / 'F.onnx')
    with pytest.raises(CheckpointError, match='F.onnx cannot be loaded by onnxruntime'):
        AllInOneInferencer(tmp_path / 'F.onnx')


def test_a_runtime_that_is_not_installed(toy, monkeypatch):
    path = toy.graph
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    words = r"F.onnx needs the package onnxruntime, .* pip install 'allinone\[export\]'$"
    with pytest.raises(ConfigError, match=words):
        AllInOneInferencer(path)
    with pytest.raises(ConfigError, match=words):
        run_test(toy.cfg, str(path))
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(ConfigError, match=r"pip install 'allinone\[openvino\]'$"):
        runtimes.open_runtime('F.xml', 'openvino')


@pytest.mark.parametrize(
    'options, said',
    [
        (dict(tasks=['depth']), r"tasks \['depth'\] are not in .*F.onnx, which has \['cls', "),
        (dict(mode='as_tested'), "mode is 'as_tested', but .* has no test pipelines"),
        (dict(scale=(64, 64)), r'scale is \(64, 64\), but .* takes images of 192 x 256'),
        (dict(device='cuda'), "device is 'cuda', but exported graphs .* run on the CPU"),
    ],
)
def test_options_that_a_graph_does_not_have(toy, options, said):
    with pytest.raises(ConfigError, match=said):
        AllInOneInferencer(toy.graph, **options)


def test_a_graph_has_no_config_beside_it(toy):
    words = 'F.onnx is an exported graph, which needs no config; leave .*config.py out$'
    for use in (AllInOneInferencer, lambda config, graph: allinone.load(graph, config)):
        with pytest.raises(ConfigError, match=words):
            use(toy.config, toy.graph)


def test_boxes_are_not_classified_by_a_graph(toy, images, tmp_path, capsys):
    argv = ['infer', toy.graph, images[0], '--out-dir', tmp_path / 'out']
    for options, said in (
        (['--classify-boxes', 'cls'], "classify_boxes is 'cls', but "),
        (['--cfg-options', 'model.bn=frozen'], "--cfg-options has ['model.bn=frozen'], which"),
    ):
        assert run_tool(*argv, *options) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f'error: {said}') and 'exported graph' in line
    assert not (tmp_path / 'out').exists()


def test_configs_of_other_tasks_are_refused(toy, tmp_path):
    path = toy.graph

    def without_det(about):
        del about['tasks']['det']

    def other_kind(about):
        about['tasks']['cls']['kind'] = 'multi_label_classification'

    def more_classes(about):
        about['tasks']['cls']['num_classes'] = 9

    def other_order(about):
        about['tasks']['cls']['classes'].reverse()

    said = {
        without_det: r"serves the tasks \['det'\], but .* \['cls', 'seg'\]; give --tasks cls seg$",
        other_kind: "model.tasks.cls is of the kind 'classification', but in .* 'multi_label_c",
        more_classes: 'model.tasks.cls has 8 classes, but .* has 9 for the task',
        other_order: 'its task cls has the classes .* one label would stand for two classes',
    }
    for change, words in said.items():
        graph = changed(path, tmp_path / 'F.onnx', change)
        with pytest.raises(ConfigError, match=words):
            run_test(toy.cfg, str(graph), work_dir=str(tmp_path / 'work'))


def test_images_that_are_larger_than_the_graph(toy, tmp_path):
    path = tmp_path / 'F.onnx'
    changed(toy.graph, path, lambda about: about['input'].update(height=96, width=128))
    words = r'an image of test_dataloader.det has 192 x 256 pixels .* takes 96 x 128; .* --dynamic'
    with pytest.raises(ConfigError, match=words):
        run_test(toy.cfg, str(path), ['det'], work_dir=str(tmp_path / 'work'))
    cfg = copy.deepcopy(toy.cfg)
    views = [[dict(type='mmseg.Resize', scale=(256, 192))], [dict(type='mmseg.PackSegInputs')]]
    steps = cfg.test_dataloader.seg.dataset.pipeline
    steps[-1] = dict(type='TestTimeAug', transforms=views)
    with pytest.raises(ConfigError, match='several views of an image .* graphs cannot merge'):
        run_test(cfg, str(path), ['seg'], work_dir=str(tmp_path / 'work'))


def test_programs_that_need_weights_name_the_checkpoint(toy):
    with pytest.raises(CheckpointError, match=r'is an exported graph, .* from \(toy.pth\)$'):
        read_checkpoint(toy.graph)
    assert isinstance(ExportedModel(toy.graph), torch.nn.Module)


@pytest.mark.parametrize(
    'argv',
    [
        ['extract', 'CONFIG', 'GRAPH', '--tasks', 'cls', '--out', 'OUT'],
        ['precise_bn', 'CONFIG', 'GRAPH', '--out', 'OUT'],
        ['export', 'GRAPH', '--format', 'onnx', '--out', 'OUT.onnx'],
    ],
)
def test_tools_that_need_weights_end_with_a_sentence(toy, tmp_path, capsys, argv):
    places = {'GRAPH': toy.graph, 'CONFIG': toy.config, 'OUT': tmp_path / 'F'}
    places['OUT.onnx'] = tmp_path / 'F.onnx'
    assert run_tool(*[places.get(word, word) for word in argv]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert (
        last.startswith('error: ') and 'F.onnx is an exported graph, which has no weights' in last
    )

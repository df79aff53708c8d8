"""Exported graphs: what runtimes give is what the joint model predicts."""

import copy
import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from conftest import run_tool, tiny
from exported_models import (
    SIZE,
    as_input,
    assert_same,
    of_many_heads,
    onnx_runtime,
    openvino_runtime,
    predictions,
    shaken,
    small,
    some_images,
    write_checkpoint,
)

from allinone.errors import CheckpointError, ConfigError
from allinone.io.exported import KEY, read_metadata
from allinone.reuse.export import export
from allinone.reuse.export.formats import convert_to_openvino
from allinone.reuse.export.graph import ExportGraph

LARGE = 2**20  # bytes
# Without pad_small_map each map must have a window's places.
SWIN = dict(
    type='mmpretrain.SwinTransformer',
    arch=dict(embed_dims=12, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
    out_indices=(0, 1, 2, 3),
)


@pytest.fixture(scope='module')
def toy(toy_root, tmp_path_factory):
    """A model of three tasks, and its checkpoint."""
    folder = tmp_path_factory.mktemp('export')
    cfg = small(folder)
    model = shaken(cfg)
    return model, write_checkpoint(cfg, model, folder / 'toy.pth')


@pytest.fixture(scope='module')
def any_size(toy, tmp_path_factory):
    """An ONNX graph of free batch and size."""
    path = tmp_path_factory.mktemp('any_size') / 'toy.onnx'
    export(toy[1], path, size=SIZE, dynamic=('batch', 'size'))
    return path


def of_graph(model, images):
    """Predictions of the graph in PyTorch, by the operator and by the loop."""
    graph = ExportGraph(model, list(model.tasks)).eval()
    found = {}
    for operator in (True, False):
        graph.suppress_by_operator(operator)
        with torch.no_grad():
            outputs = graph(torch.from_numpy(as_input(images)))
        outputs = {name: value.numpy() for name, value in outputs.items()}
        tasks = {
            task: dict(
                options=kind.export_options(model.tasks[task]),
                outputs=[name for name in outputs if name.startswith(f'{task}.')],
            )
            for task, kind in model.kinds.items()
        }
        found[operator] = predictions(model, dict(tasks=tasks), outputs, images)
    return found.values()


def test_heads_of_all_kinds_in_one_onnx_graph(toy_root, tmp_path):
    cfg = of_many_heads(tmp_path)
    model = shaken(cfg)
    images = some_images(2)
    expected = model.predict(images)
    assert all(len(expected[task][0].pred_instances) > 2 for task in ('det', 'retina', 'gfl'))
    for found in of_graph(model, images):
        assert_same(found, expected)
    path = tmp_path / 'F.onnx'
    found = export(write_checkpoint(cfg, model, tmp_path / 'F.pth'), path, size=SIZE)
    assert found.files == [str(path)] and found.sizes['det.boxes'] == (1, 50, 4)
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    operators = [node.op_type for node in written.graph.node]
    assert operators.count('NonMaxSuppression') == 5  # One of each task that finds boxes
    weights = {tuple(value.shape) for value in model.state_dict().values()}
    for value in written.graph.initializer:
        assert len(value.raw_data) < LARGE or tuple(value.dims) in weights, value.name
    run, metadata = onnx_runtime(path), read_metadata(path)
    for index in range(2):
        one = images[index : index + 1]
        now = predictions(model, metadata, run(as_input(one)), one)
        assert_same(now, {task: samples[index : index + 1] for task, samples in expected.items()})


@pytest.mark.parametrize('count, size', [(1, SIZE), (3, (96, 64)), (8, (128, 160))])
def test_any_number_and_size_of_images(toy, any_size, count, size):
    images = some_images(count, size)
    outputs = onnx_runtime(any_size)(as_input(images))
    expected = toy[0].predict(images)
    assert_same(predictions(toy[0], read_metadata(any_size), outputs, images), expected)


def test_openvino_gives_the_same(toy, any_size, tmp_path):
    metadata = read_metadata(any_size)
    path = str(tmp_path / 'toy.xml')
    convert_to_openvino(str(any_size), metadata, path)
    assert read_metadata(path)['tasks'] == metadata['tasks']
    run = openvino_runtime(path)
    for images in (some_images(3, SIZE), some_images(1, (96, 64))):
        outputs = run(as_input(images))
        assert_same(predictions(toy[0], metadata, outputs, images), toy[0].predict(images))


ALONE = """
import sys, json, numpy, torch
program = torch.export.load(sys.argv[1])
images = torch.from_numpy(numpy.load(sys.argv[2]))
outputs = program.module()(images)
numpy.savez(sys.argv[3], **{name: value.numpy() for name, value in outputs.items()})
assert not {'allinone', 'mmengine', 'torchvision', 'mmdet'} & set(sys.modules)
"""


def test_pytorch_alone_loads_and_runs_pt2(toy, tmp_path):
    path = tmp_path / 'toy.pt2'
    assert run_tool('export', toy[1], '--format=pt2', '--out', path, '--size', *SIZE) == 0
    images = some_images(1)
    np.save(tmp_path / 'images.npy', as_input(images))
    places = [path, tmp_path / 'images.npy', tmp_path / 'outputs.npz']
    subprocess.run([sys.executable, '-c', ALONE, *map(str, places)], check=True, cwd=tmp_path)
    outputs = dict(np.load(places[2]))
    metadata = read_metadata(path)
    assert_same(predictions(toy[0], metadata, outputs, images), toy[0].predict(images))
    # Saved and loaded, the graph gives the same bits.
    with torch.no_grad():
        graph = ExportGraph(toy[0], list(toy[0].tasks)).eval()
        for name, value in graph(torch.from_numpy(as_input(images))).items():
            assert torch.equal(value, torch.from_numpy(outputs[name])), name


def neck_of_three(cfg):
    """Three detectors on a shared neck, one with weights of its own."""
    det = {key: value for key, value in cfg.model.tasks.det.to_dict().items()}
    del det['neck'], det['feature_indices']
    adapted = dict(copy.deepcopy(det), adapter=dict(type='FiLMAdapter'))
    cfg.model.tasks = dict(cfg.model.tasks, det=det, other=copy.deepcopy(det), adapted=adapted)
    cfg.model.shared_neck = dict(
        type='mmdet.FPN',
        tasks=('det', 'other', 'adapted'),
        feature_indices=(1, 2, 3),
        in_channels=[16, 48, 160],
        out_channels=48,
        num_outs=3,
    )


VARIANTS = dict(
    adapters={
        'model.tasks.det.adapter': dict(type='LowRankAdapter', rank=2),
        'model.tasks.seg.adapter': dict(type='FiLMAdapter'),
    },
    per_task={
        'model.bn': 'per_task',
        'model.backbone.norm_cfg': dict(type='BN', _delete_=True),
    },
    shared_neck={},
    bgr={'model.data_preprocessor.bgr_to_rgb': False, 'model.channels_last': True},
)


@pytest.mark.parametrize('name', VARIANTS)
def test_weights_of_tasks_are_merged(toy_root, tmp_path, name):
    cfg = tiny(tmp_path)
    if name == 'shared_neck':
        neck_of_three(cfg)
    model = shaken(cfg, **VARIANTS[name])
    images = some_images(2)
    for found in of_graph(model, images):
        assert_same(found, model.predict(images))


def test_graph_of_a_task_with_an_adapter(toy_root, tmp_path):
    cfg = small(tmp_path)
    model = shaken(cfg, **VARIANTS['adapters'])
    checkpoint = write_checkpoint(cfg, model, tmp_path / 'F.pth')
    path = tmp_path / 'F.pt2'
    found = export(checkpoint, path, 'pt2', tasks=['cls', 'seg'], size=SIZE)
    images = some_images(1)
    outputs = torch.export.load(path).module()(torch.from_numpy(as_input(images)))
    outputs = {name: value.numpy() for name, value in outputs.items()}
    now = predictions(model, found.metadata, outputs, images)
    assert_same(now, model.predict(images, ['cls', 'seg']))


def test_without_what_follows_the_heads_and_in_half_precision(toy, tmp_path):
    path = tmp_path / 'F.pt2'
    options = dict(tasks=['det', 'seg'], size=SIZE, raw=True, precision='fp16')
    found = export(toy[1], path, 'pt2', **options)
    assert found.sizes == {
        'det.boxes': (1, 126, 4),
        'det.scores': (1, 126, 3),
        'seg.logits': (1, 7, *SIZE),
    }
    images = torch.from_numpy(as_input(some_images(1)))
    outputs = torch.export.load(path).module()(images)
    with torch.no_grad():
        exact = ExportGraph(toy[0], ['det', 'seg'], raw=True)(images)
    assert all(value.dtype == torch.float32 for value in outputs.values())
    torch.testing.assert_close(outputs['det.scores'], exact['det.scores'], atol=0.02, rtol=0)


def test_metadata_says_what_a_program_without_allinone_needs(toy, any_size):
    found = read_metadata(any_size)
    assert found['format'] == 'onnx' and list(found['tasks']) == ['cls', 'det', 'seg']
    assert found['tasks']['det']['classes'] == ['vehicle', 'pedestrian', 'sign']
    assert found['tasks']['seg']['outputs'] == ['seg.labels']
    assert len(found['tasks']['seg']['palette']) == 7
    assert found['input']['multiple'] == 32 and found['input']['colour_order'] == 'RGB'
    mean = toy[0].data_preprocessor.mean.flatten().tolist()
    assert found['input']['pad']['value'] == pytest.approx(mean, abs=1e-3)
    assert len(found['checkpoint']['sha256']) == 64 and 'terms' in found['licence']


# ---------------------------------------------------------------------- refusals


def refusal(capsys, checkpoint, *argv):
    assert run_tool('export', checkpoint, *argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix('error: ')


def test_heads_that_cannot_be_exported_are_named_together(toy, tmp_path, capsys):
    out = tmp_path / 'F.onnx'
    options = [
        'model.tasks.det.test_cfg.nms.type=soft_nms',
        'model.tasks.seg.test_cfg.mode=slide',
    ]
    sentence = refusal(
        capsys, toy[1], '--format=onnx', '--out', out, '--size', *SIZE, '--cfg-options', *options
    )
    assert sentence.startswith('tasks cannot be exported: det: FCOS cannot be exported with ')
    assert 'soft_nms' in sentence and 'seg: EncoderDecoder cannot be exported with' in sentence
    assert sentence.endswith('; export the others with --tasks cls')
    assert not out.exists()


@pytest.mark.parametrize(
    'argv, said',
    [
        (['--size', '64', '90'], ''),
        (['--tasks', 'cls', 'depth'], "tasks ['depth'] are not in model.tasks, which has"),
        (['--dynamic', 'height'], "--dynamic has ['height']; give batch, size or batch,size"),
    ],
)
def test_options_that_do_not_fit(toy, tmp_path, capsys, argv, said):
    path = tmp_path / 'F.onnx'
    options = ['model.data_preprocessor.pad_size_divisor=32']
    sentence = refusal(
        capsys, toy[1], '--format=onnx', '--out', path, *argv, '--cfg-options', *options
    )
    said = said or (
        '--size is 64 90, but model.data_preprocessor.pad_size_divisor is 32; give multiples of '
        'it, such as 64 64 or 64 96'
    )
    assert sentence.startswith(said)


def test_places_that_cannot_be_written(toy, tmp_path, capsys):
    there = tmp_path / 'F.onnx'
    there.write_text('mine')
    assert 'is there already; name another file, or add --overwrite' in refusal(
        capsys, toy[1], '--format=onnx', '--out', there
    )
    assert there.read_text() == 'mine'
    assert 'F.onnx' in refusal(capsys, toy[1], '--format=onnx', '--out', there / 'G.onnx')
    sentence = refusal(capsys, toy[1], '--format=pt2', '--out', tmp_path / 'G.onnx')
    assert sentence.endswith('but --format pt2 writes *.pt2; rename it')


@pytest.mark.parametrize(
    'form, package, extra',
    [
        ('onnx', 'onnxscript', 'export'),
        ('openvino', 'openvino', 'openvino'),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    toy, tmp_path, capsys, monkeypatch, form, package, extra
):
    monkeypatch.setitem(sys.modules, package, None)
    out = tmp_path / ('F.onnx' if form == 'onnx' else 'F.xml')
    sentence = refusal(capsys, toy[1], f'--format={form}', '--out', out)
    assert sentence.startswith(f'--format {form} needs the package {package}')
    assert sentence.endswith(f"pip install 'allinone[{extra}]'")


def test_sizes_that_the_backbone_does_not_take(toy_root, tmp_path):
    cfg = tiny(tmp_path)
    seg = dict(cfg.model.tasks.seg.to_dict())
    seg['decode_head'] = dict(seg['decode_head'], in_channels=[12, 24, 48, 96])
    cfg.model.backbone, cfg.model.tasks = SWIN, dict(seg=seg)
    checkpoint = write_checkpoint(cfg, shaken(cfg), tmp_path / 'F.pth')
    sentence = (
        '^--size 100 120: model.backbone is a SwinTransformer, which takes no images of .* it '
    )
    with pytest.raises(ConfigError, match=f'{sentence}takes 224 x 224.*: give another --size$'):
        export(checkpoint, tmp_path / 'F.pt2', 'pt2', size=(100, 120))


def test_files_of_others_are_refused(any_size, tmp_path):
    model = onnx.load(any_size)
    (entry,) = [prop for prop in model.metadata_props if prop.key == KEY]
    newer = dict(json.loads(entry.value), version=99)
    entry.value = json.dumps(newer)
    onnx.save(model, tmp_path / 'newer.onnx')
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'other.onnx')
    whole = any_size.read_bytes()
    (tmp_path / 'cut.onnx').write_bytes(whole[: len(whole) // 2])
    for suffix in ('onnx', 'pt2', 'xml'):
        (tmp_path / f'text.{suffix}').write_text('not a graph')
    (tmp_path / 'bare.xml').write_text('<net name="x"><layers/></net>')
    (tmp_path / 'page.xml').write_text('<html/>')
    said = {
        'newer.onnx': 'has metadata of version 99',
        'other.onnx': "has no metadata 'allinone', so another program wrote it",
        'bare.xml': "has no metadata 'allinone', so another program wrote it",
        'cut.onnx': 'is no whole onnx file',
        'text.onnx': 'is no whole onnx file',
        'text.pt2': 'is no whole pt2 file',
        'text.xml': 'is no whole openvino file',
        'page.xml': 'is no whole openvino file',
        'absent.onnx': 'is not there',
        'absent.pth': 'is no exported graph',
    }
    for name, words in said.items():
        with pytest.raises(CheckpointError, match=words):
            read_metadata(tmp_path / name)

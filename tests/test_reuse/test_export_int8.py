"""Graphs in int8: which images and layers, what they give, and what is refused."""

import os

import numpy as np
import onnx
import pytest
import torch
from conftest import run_tool
from exported_models import (
    SIZE,
    as_input,
    onnx_runtime,
    shaken,
    small,
    some_images,
    write_checkpoint,
)
from onnx import TensorProto, helper, numpy_helper

from allinone.errors import ConfigError
from allinone.io.exported import read_metadata
from allinone.io.images import read_image
from allinone.reuse.export.calibration import Calibration
from allinone.reuse.export.int8 import quantised
from allinone.reuse.export.int8.layers import Layers


@pytest.fixture(scope='module')
def toy(toy_root, tmp_path_factory):
    """Folder with a checkpoint of three tasks and its config, and the model."""
    folder = tmp_path_factory.mktemp('int8')
    cfg = small(folder)
    model = shaken(cfg)
    write_checkpoint(cfg, model, folder / 'toy.pth')
    cfg.dump(folder / 'toy.py')
    return folder, model


@pytest.fixture(scope='module')
def graph(toy):
    """The toy model in int8."""
    folder, _ = toy
    argv = ['--precision=int8', '--calibrate', folder / 'toy.py', '--calibration-images=12']
    argv += ['--keep-float', 'shared.conv1', 'heads.seg_.*']
    out = folder / 'F.onnx'
    common = ['--format=onnx', '--out', out, '--size', *SIZE]
    assert run_tool('export', folder / 'toy.pth', *common, *argv) == 0
    return out


def test_a_graph_in_int8_gives_what_the_model_predicts_nearly(toy, graph):
    written = onnx.load(graph)
    onnx.checker.check_model(written, full_check=True)
    kept = {value.name: value for value in written.graph.initializer}
    assert kept['shared.conv1.weight'].data_type == TensorProto.FLOAT
    assert kept['shared.layer1.0.conv1.weight_quantized'].data_type == TensorProto.INT8
    # Per channel: as many scales as outputs
    assert len(numpy_helper.to_array(kept['shared.layer1.0.conv1.weight_scale'])) == 8
    weights = sum(value.numel() for value in toy[1].parameters()) * 4
    assert os.path.getsize(graph) < 0.5 * weights
    images = some_images(3)
    run, expected = onnx_runtime(graph), toy[1].predict(images)
    each = [run(as_input(images[place : place + 1])) for place in range(3)]
    found = {name: np.concatenate([one[name] for one in each]) for name in each[0]}
    scores = torch.stack([sample.pred_score for sample in expected['cls']]).numpy()
    assert np.abs(found['cls.scores'] - scores).max() < 0.01
    labels = torch.cat([sample.pred_sem_seg.data for sample in expected['seg']]).numpy()
    assert np.mean(found['seg.labels'] == labels) > 0.95
    for ours, sample in zip(found['det.scores'], expected['det']):
        theirs = sample.pred_instances.scores.numpy()
        assert np.abs(ours[:10] - theirs[:10]).max() < 0.1
    assert np.abs(found['cls.scores'] - scores).max() > 1e-5  # Not by weights in float32


def test_metadata_say_how_the_graph_was_quantised(toy, graph):
    metadata = read_metadata(graph)
    about = metadata['int8']
    assert metadata['precision'] == 'int8' and metadata['checkpoint']['name'] == 'toy.pth'
    assert about['images'] == 12 and about['seed'] == 0 and about['found_by'] == '--keep-float'
    assert {'shared.conv1', 'heads.cls_.head.fc', 'heads.seg_.head.conv_seg'} < {
        *about['float_layers']
    }
    assert about['calibrate'] == 'toy.py'  # No folders of the machine
    assert about['layers'] - len(about['float_layers']) == 27
    assert all(0 < error < 0.05 for error in about['errors'].values()), about['errors']


# ---------------------------------------------------------------------- images


def test_images_are_sampled_alike_from_the_train_sets_of_tasks(toy):
    def paths(count, tasks=('cls', 'det', 'seg')):
        return Calibration(str(toy[0] / 'toy.py'), tasks, count, pytest.fail).paths

    found = paths(9)
    folders = [path.split('/toy/')[1].split('/')[0] for path in found]
    assert folders == ['cls', 'det', 'seg'] * 3
    assert all('/train/' in path for path in found) and len(set(found)) == 9
    assert paths(9) == found and paths(6) == found[:6]
    assert paths(3, ['cls']) == found[::3]


def test_fewer_images_than_asked_for_are_told(toy):
    notes = []
    found = Calibration(str(toy[0] / 'toy.py'), ['cls'], 100, notes.append)
    assert len(found.paths) == 16
    assert notes == [
        '--calibration-images is 100, but the train sets of cls have 16 images; all are used'
    ]


def test_images_are_brought_to_the_graph_as_its_metadata_say(toy):
    found = Calibration(str(toy[0] / 'toy.py'), ['det'], 1, pytest.fail)
    height, width = read_image(found.paths[0]).shape[:2]
    about = dict(height=height, width=width + 32, dynamic=['batch', 'size'], multiple=32)
    about |= dict(resize=dict(scale=[width + 32, height], keep_ratio=True))
    (image,) = found.images(about | dict(pad=dict(value=[1.0, 2.0, 3.0])))
    assert image.shape == (1, 3, height, width + 32) and image.dtype == np.float32
    np.testing.assert_array_equal(
        image[0, :, :, :width].transpose(1, 2, 0)[..., ::-1], read_image(found.paths[0])
    )
    assert np.all(image[0, :, :, width:] == np.array([1, 2, 3]).reshape(3, 1, 1))


# ---------------------------------------------------------------------- layers

HUGE = 3000.0


def chain(huge=True):
    """Eight layers, then the last ones of two tasks; what the fourth gives has a huge channel."""
    generator = np.random.default_rng(0)
    weights, nodes, tensor = {}, [], 'images'
    for index in range(8):
        weight = generator.normal(size=(3, 3, 1, 1)) * 0.2 + np.eye(3).reshape(3, 3, 1, 1)
        if huge and index == 3:
            weight[0] *= HUGE
        if huge and index == 4:
            weight[:, 0] /= HUGE
        weights[f'layer{index}.weight'] = weight
        nodes.append(conv(f'layer{index}', tensor, f'conv{index}'))
        nodes.append(helper.make_node('Relu', [f'conv{index}'], [f'relu{index}'], f'relu{index}'))
        tensor = f'relu{index}'
        if index == 1:
            nodes.append(helper.make_node('Add', ['relu1', 'relu0'], ['add'], 'add'))
            tensor = 'add'
    for name in ('one', 'two'):
        weights[f'{name}.weight'] = generator.normal(size=(2, 3, 1, 1))
        nodes.append(conv(name, tensor, f'{name}_logits'))
        nodes.append(
            helper.make_node('Sigmoid', [f'{name}_logits'], [f'{name}.scores'], name + 's')
        )
    shape = dict(elem_type=TensorProto.FLOAT, shape=(1, 3, 8, 8))
    outputs = [
        helper.make_tensor_value_info(f'{name}.scores', TensorProto.FLOAT, (1, 2, 8, 8))
        for name in ('one', 'two')
    ]
    found = helper.make_graph(
        nodes,
        'chain',
        [helper.make_tensor_value_info('images', **shape)],
        outputs,
        [numpy_helper.from_array(value.astype('f4'), name) for name, value in weights.items()],
    )
    return helper.make_model(found, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)


def conv(layer, tensor, output):
    return helper.make_node('Conv', [tensor, f'{layer}.weight'], [output], f'node_{layer}')


def noise(count=3):
    generator = np.random.default_rng(1)
    return [generator.random((1, 3, 8, 8), 'f4') for _ in range(count)]


def test_layers_that_int8_changes_most_are_found_and_left():
    found, report = quantised(chain(), noise())
    assert report.float_layers == ['layer3', 'layer4', 'one', 'two']
    assert (report.images, report.layers, report.found_by) == (3, 10, 'search')
    assert all(0 < error <= 0.01 for error in report.errors.values())
    # With these in int8 the other channels of the tensor between them are lost.
    _, all_of_them = quantised(chain(), noise(), ['one'])
    assert min(all_of_them.errors.values()) > 0.02
    names = {value.name for value in found.graph.initializer}
    assert {'layer3.weight', 'layer2.weight_quantized'} < names
    assert 'layer2.weight' not in names


def test_no_more_layers_are_left_than_needed():
    _, report = quantised(chain(huge=False), noise())
    assert report.float_layers == ['one', 'two']


def test_quantisation_gives_the_same_bytes_again():
    first, again = (quantised(chain(), noise(), ['layer3'])[0] for _ in range(2))
    assert first.SerializeToString() == again.SerializeToString()


def test_means_of_distributions_are_no_layers():
    """Such as those by which GFL decodes boxes: the layer before them is the last."""
    model = chain()
    places = numpy_helper.from_array(np.arange(8, dtype='f4').reshape(8, 1), 'places')
    model.graph.initializer.append(places)
    model.graph.node.append(helper.make_node('MatMul', ['one_logits', 'places'], ['box'], 'mean'))
    model.graph.output.append(helper.make_tensor_value_info('one.boxes', 1, (1, 2, 8, 1)))
    model.graph.node.append(helper.make_node('Identity', ['box'], ['one.boxes'], 'named'))
    layers = Layers(model)
    assert layers.last == {'one': ['one_logits'], 'two': ['two_logits']}
    assert list(layers.nodes)[-2:] == ['one', 'two']


def test_nodes_between_layers_in_int8_are_in_int8():
    layers = Layers(chain())
    assert layers.last == {'one': ['one_logits'], 'two': ['two_logits']}
    both, rectifiers = ['node_layer0', 'node_layer1'], ['relu0', 'relu1']
    assert set(layers.quantised_nodes(['layer0', 'layer1'])) == {*both, *rectifiers}
    # The sum is in int8 only if all that it is of and what reads it are.
    more = layers.quantised_nodes(['layer0', 'layer1', 'layer2'])
    assert set(more) == {*both, *rectifiers, 'add', 'node_layer2', 'relu2'}
    assert 'add' not in layers.quantised_nodes(['layer0', 'layer2'])


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    'argv, said',
    [
        (
            ['--precision=int8'],
            '--precision int8 needs images that set the ranges of values; add --calibrate CONFIG, '
            'whose train images are used',
        ),
        (
            ['--precision=fp16', '--calibrate=toy.py'],
            '--calibrate is given, but --precision is fp16; leave it out, or use --precision int8',
        ),
        (
            ['--keep-float', 'shared.conv1'],
            '--keep-float is given, but --precision is fp32; leave it out, or use --precision int8',
        ),
        (
            ['--precision=int8', '--calibrate=toy.py', '--format=pt2', '--out=F.pt2'],
            '--precision int8 is for ONNX alone, but --format is pt2; use --format onnx',
        ),
        (
            ['--precision=int8', '--calibrate=toy.py', '--calibration-images=0'],
            '--calibration-images is 0; give a whole number of at least 1',
        ),
        (
            ['--precision=int8', '--calibrate=bare.py'],
            "--calibrate bare.py: train_dataloader has no data of ['cls', 'seg']; give a config "
            'that trains all tasks of the graph, or name others with --tasks',
        ),
        (
            ['--precision=int8', '--calibrate=bare.py', '--tasks', 'det'],
            '--calibrate bare.py: train_dataloader.det.dataset cannot be read: ',
        ),
    ],
)
def test_options_that_do_not_fit(toy, capsys, monkeypatch, argv, said):
    monkeypatch.chdir(toy[0])
    missing = dict(
        type='allinone.CocoFileDataset', ann_file='absent.json', metainfo=dict(classes=())
    )
    (toy[0] / 'bare.py').write_text(f'train_dataloader = dict(det=dict(dataset={missing}))\n')
    common = ['--format=onnx', '--out=G.onnx', '--size', *SIZE]
    assert run_tool('export', 'toy.pth', *common, *argv) == 2
    assert capsys.readouterr().err.removeprefix('error: ').startswith(said)
    assert not os.path.exists('G.onnx')


def test_patterns_without_a_layer_and_graphs_without_a_rest():
    with pytest.raises(ConfigError) as refused:
        quantised(chain(), noise(), ['layer9'])
    assert str(refused.value).startswith(
        "--keep-float has 'layer9', which no layer matches; layers are layer0, layer1, "
    )
    with pytest.raises(ConfigError) as refused:
        quantised(chain(), noise(), ['layer*'])
    assert str(refused.value) == (
        '--precision int8 has no layers to quantise, for all 10 are left in float32 as the last '
        'ones of tasks or by --keep-float; use --precision fp32'
    )

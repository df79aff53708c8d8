"""Parameters, operations and memory: by hand, by published values, and with values on the CPU."""

import json

import pytest
import torch
import torchvision
import zoo
from conftest import ROOT, run_tool
from mmengine.config import Config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from allinone.analysis.complexity import SIZE, Complexity, Part, _measured, complexity
from allinone.analysis.cost_ledger import FORMULAS
from allinone.analysis.shapes_only import shapes_only
from allinone.registry import MODELS
from allinone.tasks.classification import Classification

BASES = ROOT / 'configs/_base_'


@MODELS.register_module(force=True)
class OneConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)

    def forward(self, x):
        return (self.conv(x),)


def config(path, backbone, data_preprocessor=None, **tasks):
    joint = dict(backbone=backbone, data_preprocessor=data_preprocessor, tasks=tasks)
    Config(dict(model=dict(type='AllInOne', **joint))).dump(path)
    return str(path)


def classifier(channels=8, classes=5):
    return dict(
        type='mmpretrain.ImageClassifier',
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=channels),
    )


def of_bases(path, backbone, task, classes):
    """A config of a base of a backbone and one of a task."""
    joint = Config.fromfile(BASES / f'backbones/{backbone}.py').model
    part = Config.fromfile(BASES / f'tasks/{task}.py')[task]
    one = dict(part, num_classes=classes)
    return config(path, joint.backbone, joint.data_preprocessor, one=one)


def test_a_convolution_and_a_linear_layer_by_hand(tmp_path):
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier(), b=classifier())
    found = complexity(path, (32, 64))
    assert found.size == (32, 64) and found.note is None
    # 8 filters of 3 x 3 x 3 at 16 x 32 places; autograd keeps the image and the pooled map
    flops, head = 2 * 8 * 27 * 16 * 32, 2 * 8 * 5
    backbone = Part('backbone', True, 8 * 27 + 8, 4 * 224, flops, 4 * 3 * 32 * 64)
    heads = [Part(name, False, 8 * 5 + 5, 4 * 45, head, 4 * 8) for name in 'ab']
    assert found.parts == [backbone, *heads]
    assert found.alone == dict(a=flops + head, b=flops + head)
    assert found.shared_parameters == 224 / (224 + 90)
    assert found.saved == pytest.approx(1 - (flops + 2 * head) / (2 * flops + 2 * head), abs=1e-12)


def test_some_of_the_tasks_count(tmp_path):
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier(), b=classifier())
    found = complexity(path, (32, 64), ['b'])
    assert [part.name for part in found.parts] == ['backbone', 'b'] and found.saved == 0


def test_a_deformable_convolution_counts_as_a_convolution():
    image, offset = torch.zeros(2, 6, 9, 9), torch.zeros(2, 18, 9, 9)
    weight = torch.zeros(4, 3, 3, 3)
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        torchvision.ops.deform_conv2d(image, offset, weight, padding=1)
    # In two groups: each of 4 filters sees 3 of 6 channels.
    assert counter.get_total_flops() == 2 * 4 * 3 * 9 * (2 * 9 * 9)


# Millions of parameters, GMACs, and the deviation that is allowed. Some sources also count norms,
# activations and interpolations; heads of configs/_base_ have group norm, which adds parameters.
PUBLISHED = [
    ('resnet50', 'linear_cls', 1000, (224, 224), 25.56, 4.12, 0.01),  # mmpretrain
    ('vit_b', 'linear_cls', 1000, (224, 224), 86.57, 17.58, 0.005),  # mmpretrain
    ('convnext_t', 'linear_cls', 1000, (224, 224), 28.59, 4.46, 0.005),  # mmpretrain
    ('mit_b0', 'segformer', 150, (512, 512), 3.8, 8.4, 0.02),  # arXiv:2105.15203
    # The README of Swin-Transformer-Semantic-Segmentation, for images of 2048 x 512
    ('swin_t', 'upernet', 150, (512, 2048), 60, 945, 0.005),
]


@pytest.mark.parametrize(
    'backbone, task, classes, size, parameters, macs, near',
    PUBLISHED,
    ids=[f'{row[0]}-{row[1]}' for row in PUBLISHED],
)
def test_published_values(tmp_path, backbone, task, classes, size, parameters, macs, near):
    found = complexity(of_bases(tmp_path / 'a.py', backbone, task, classes), size)
    assert found.note is None
    assert found.total('parameters') / 1e6 == pytest.approx(parameters, rel=max(near, 0.02))
    assert found.total('flops') / 2e9 == pytest.approx(macs, rel=near)


def test_rtmdet_s_as_mmdet_publishes_it(tmp_path):
    """8.89 M parameters and 14.8 GMACs at 640 x 640, of the backbone and task of its config."""
    cfg = Config.fromfile('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py')
    task = cfg.model.to_dict()
    backbone = dict(task.pop('backbone'), type='mmdet.CSPNeXt', init_cfg=None)
    task = dict(task, type='mmdet.RTMDet', data_preprocessor=None)
    found = complexity(config(tmp_path / 'a.py', backbone, det=task))
    assert found.size == SIZE
    assert round(found.total('parameters') / 1e6, 2) == 8.89
    assert round(found.total('flops') / 2e9, 1) == 14.8


def test_shapes_alone_give_the_operations_of_a_run_with_values():
    """Of transformers that read numbers from tensors, and of stages with a search between them."""
    heads = ['dino', 'mask2former', 'mask_rcnn', 'rtmdet', 'upernet', 'linear_cls']
    _, model, _ = zoo.build('resnet18', heads)
    parts, alone = _measured(model.eval(), heads, (64, 96))
    with shapes_only():
        shapes, shapes_alone = _measured(model.to('meta'), heads, (64, 96))
    assert shapes_alone == alone
    for real, found in zip(parts, shapes, strict=True):
        assert (found.name, found.flops, found.weights) == (real.name, real.flops, real.weights)
        if found.name in ('backbone', 'rtmdet', 'upernet', 'linear_cls'):
            # On the CPU batch norm keeps no statistics in evaluation mode.
            assert found.activations == pytest.approx(real.activations, rel=0.02) and found.flops
    # Attention is that of a GPU, which keeps less.
    dino = heads.index('dino') + 1
    assert 0 < shapes[dino].activations < parts[dino].activations


def test_a_second_stage_sees_the_proposals_that_its_config_lets_pass(tmp_path):
    found = []
    for count in (100, 300, 500):
        path = of_bases(tmp_path / f'{count}.py', 'resnet18', 'faster_rcnn', 3)
        cfg = Config.fromfile(path)
        cfg.model.tasks.one.test_cfg.rpn.max_per_img = count
        cfg.dump(path)
        found.append(complexity(path, (64, 64)).parts[1].flops)
    # Two layers of 1024, and the scores of 4 classes and boxes of 3
    each = 2 * (256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * (4 + 12))
    assert found[1] - found[0] == found[2] - found[1] == 200 * each


def test_frozen_parts_save_nothing_and_an_adapter_passes_alone():
    found = complexity(str(ROOT / 'configs/toy/mobilenetv2_toy_grow.py'))
    parts = {part.name: part for part in found.parts}
    assert all(parts[name].activations == 0 for name in ('backbone', 'cls', 'det', 'seg'))
    assert parts['signs'].activations > 0
    assert found.alone['signs'] == parts['signs'].flops > parts['backbone'].flops
    assert found.alone['det'] == parts['det'].flops + parts['backbone'].flops


def test_the_shared_neck_has_a_line_and_counts_for_its_tasks():
    path = str(ROOT / 'configs/toy/mobilenetv2_toy_neck.py')
    found = complexity(path)
    parts = {part.name: part for part in found.parts}
    assert [name for name in parts if parts[name].shared] == ['backbone', 'shared_neck']
    flops = {name: part.flops for name, part in parts.items()}
    assert found.alone['cls'] == flops['cls'] + flops['backbone']
    assert found.alone['det'] == flops['det'] + flops['backbone'] + flops['shared_neck']
    assert flops['shared_neck'] > 0
    # A task beside it does without.
    assert [part.name for part in complexity(path, tasks=['cls']).parts] == ['backbone', 'cls']


def test_the_size_is_that_of_the_largest_test_images_as_the_model_pads_them(tmp_path):
    toy = ROOT / 'configs/toy/mobilenetv2_toy.py'
    wide, padded = tmp_path / 'wide.py', tmp_path / 'padded.py'
    text = "_base_ = '{}'\n"
    resize = dict(type='mmseg.Resize', scale=(2048, 100), keep_ratio=True)
    wide.write_text(
        text.format(toy) + f'val_dataloader = dict(seg=dict(dataset=dict(pipeline=[{resize}])))\n'
        'test_dataloader = val_dataloader\n'
    )
    padded.write_text(
        text.format(toy) + 'model = dict(data_preprocessor=dict(pad_size_divisor=100))\n'
    )
    # Beyond 2:1 a scale limits the shorter side: 100 x 100, less than the 192 x 256 of det
    assert complexity(str(wide), tasks=['cls', 'seg']).size == (100, 100)
    assert complexity(str(wide)).size == (192, 256)
    assert complexity(str(padded)).size == (200, 300)


def tool(capsys, *argv):
    status = run_tool('analyze', 'complexity', *argv)
    return status, *capsys.readouterr()


def test_the_table_and_the_numbers(tmp_path, capsys):
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier(), b=classifier())
    status, text, _ = tool(capsys, path, '--size', 320, 640, '--out', tmp_path / 'out.json')
    assert status == 0
    lines = [line.split() for line in text.splitlines()]
    assert '320 x 640 pixels (height x width)' in text
    # 8 * 27 * 160 * 320 multiply-adds
    assert lines[2][:7] == ['backbone', '<', '0.01', 'M', '0.02', '0.01', '100.0']
    assert 'The backbone has 71.3 % of the parameters and 100.0 % of the operations.' in text
    assert 'One pass takes 0.02 GFLOPs' in text and 'one pass saves 50.0 %.' in text
    (found,) = json.loads((tmp_path / 'out.json').read_text())
    assert found['total']['flops'] == 2 * 8 * 27 * 160 * 320 + 2 * 2 * 8 * 5
    assert found['parts'][0]['parameters'] == 224 and found['size'] == [320, 640]


def test_no_note_of_savings_for_one_task(tmp_path, capsys):
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier())
    assert 'saves' not in tool(capsys, path)[1]


def test_a_layer_that_cannot_run_without_values_runs_on_the_cpu(tmp_path, monkeypatch):
    def forward(self, x):
        assert x.sum().item() == 0
        return (self.conv(x),)

    monkeypatch.setattr(OneConvolution, 'forward', forward)
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier())
    found = complexity(path, (32, 64))
    assert found.note.startswith("Run with values on the CPU in 'tensor' mode: RuntimeError: ")
    assert 'item' in found.note and found.parts[0].flops == 2 * 8 * 27 * 16 * 32


def test_a_model_that_wants_annotations_in_tensor_mode_predicts(tmp_path, monkeypatch):
    def run_network(self, model, image, samples):
        model.head(model.extract_feat(image))
        raise AttributeError('no annotations')

    monkeypatch.setattr(Classification, 'run_network', run_network)
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier())
    found = complexity(path, (32, 64))
    assert found.note == (
        "Run with values on the CPU in 'predict' mode: AttributeError: no annotations"
    )
    assert found.parts[1].flops == 2 * 8 * 5


def test_a_compiled_backbone_is_counted_as_it_is(tmp_path):
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier())
    before = complexity(path, (32, 64))
    cfg = Config.fromfile(path)
    cfg.model.compile_backbone = True
    cfg.dump(path)
    assert complexity(path, (32, 64)) == before


def test_saved_is_of_the_operations_of_separate_models():
    parts = [
        Part('backbone', True, 30, 0, 600, 0),
        Part('a', False, 10, 0, 100, 0),
        Part('b', False, 20, 0, 200, 0),
    ]
    found = Complexity('x.py', '', (1, 1), parts, dict(a=700, b=800))
    assert (found.shared_parameters, found.shared_flops) == (0.5, 2 / 3)
    assert found.saved == pytest.approx(1 - 900 / 1500)


def test_bad_input_is_refused_in_a_sentence(tmp_path, capsys):
    path = config(tmp_path / 'a.py', dict(type='OneConvolution'), a=classifier())
    (tmp_path / 'data.py').write_text('data = dict()\n')
    swin = config(tmp_path / 's.py', dict(type='mmpretrain.SwinTransformer'), a=classifier(768))
    wrong = config(tmp_path / 'w.py', dict(type='OneConvolution'), a=classifier(9))
    for argv, words in {
        (tmp_path / 'data.py',): 'has no model.backbone; give the config of a joint model',
        (BASES / 'backbones/resnet18.py',): 'has no model.tasks; give the config of a joint model',
        (tmp_path / 'none.py',): 'none.py: no such config file',
        (path, '--tasks', 'c'): "tasks ['c'] are not in model.tasks, which has ['a']",
        (path, '--out', tmp_path / 'out.txt'): "out.txt'; give a name in .json or .md",
        (path, '--out', tmp_path): 'give a name in .json or .md',
        (
            swin,
            '--size',
            8,
            8,
        ): 'is a SwinTransformer, which takes no images of 8 x 8 pixels',
        (wrong,): 'model.tasks.a.head',
    }.items():
        status, _, error = tool(capsys, *argv)
        assert status == 2 and words in error, error
        assert error.startswith('error: ') and error.count('\n') == 1
    with pytest.raises(SystemExit):
        tool(capsys, path, '--size', 0, 64)

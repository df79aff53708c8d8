"""Pure Python configs, whose types are classes, are the same runs as text configs."""

import copy
import sys

import pytest
import torch
from conftest import ROOT, classification, run_tool, tiny, write_config
from mmengine.config import Config
from pure_python import as_pure_python

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.loading import load_config
from allinone.config.type_names import name_types
from allinone.errors import ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.registry import MODELS
from allinone.training.run_manifest import flat_config


@pytest.mark.parametrize(
    'recipe',
    [
        'toy/mobilenetv2_toy_distilled.py',
        'toy/mobilenetv2_toy_grow.py',
        'track1/convnext-t_rtmdet_upernet_track1.py',
        'track1/vit-b_dino_setr_track1.py',
        'traffic_mini/mobilenetv2_joint.py',
    ],
)
def test_classes_get_the_names_that_the_recipes_write(tmp_path, recipe):
    text = load_config(str(ROOT / 'configs' / recipe), work_dir='work')
    path = tmp_path / 'config.py'
    path.write_text(as_pure_python(text))
    assert 'type' in path.read_text() and "'mmdet.CocoDataset'" not in path.read_text()
    named = flat_config(load_config(str(path), work_dir='work'))
    for key in list(named):
        if key.endswith('.dataset._scope_'):  # Which the rewriting adds
            del named[key]
    expected = flat_config(text)
    assert {key: named.get(key) for key in expected if not key.endswith('._scope_')} == {
        key: value for key, value in expected.items() if not key.endswith('._scope_')
    }


def train(config, work_dir, *options):
    return run_tool('train', config, '--work-dir', work_dir, *options)


def test_a_run_of_classes_is_the_run_of_their_names(toy_root, tmp_path):
    cfg = classification(tmp_path / 'text', **{'train_cfg.max_iters': 2})
    text = write_config(cfg, tmp_path / 'text.py')
    (tmp_path / 'base.py').write_text(as_pure_python(cfg))
    child = tmp_path / 'child.py'
    child.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n    from .base import *\n'
        f'experiment_name = {str(child)!r}\n'
    )
    assert train(text, tmp_path / 'text') == 0
    assert train(child, tmp_path / 'classes') == 0
    expected, found = (
        read_checkpoint(tmp_path / name / 'iter_2.pth')['state_dict']
        for name in ('text', 'classes')
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    # What is saved is text, and the same run.
    saved = tmp_path / 'classes/child.py'
    assert flat_config(load_config(str(saved))) == flat_config(
        load_config(str(child), work_dir=str(tmp_path / 'classes'))
    )
    assert (
        train(child, tmp_path / 'classes', '--resume', '--cfg-options', 'train_cfg.max_iters=3')
        == 0
    )
    assert (tmp_path / 'classes/iter_3.pth').exists()
    checkpoint = tmp_path / 'classes/iter_2.pth'
    out = tmp_path / 'metrics.json'
    assert run_tool('test', child, checkpoint, '--work-dir', tmp_path / 'test', '--out', out) == 0
    assert 'cls/top1' in out.read_text()
    inferencer = AllInOneInferencer(checkpoint, device='cpu')
    assert torch.equal(
        inferencer.model.state_dict()['tasks.cls.head.fc.bias'].cpu(),
        found['tasks.cls.head.fc.bias'],
    )


TYPES = """
from allinone.balancers import PCGrad
from allinone.models import AllInOne
from allinone.training import MultiDatasetRunner
from allinone.training.schedules import AllTasks
from mmcv.ops import RoIAlign, nms
from mmcv.transforms import RandomFlip
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.models import FCOS, FCOSHead
from mmengine.dataset import RepeatDataset, pseudo_collate
from mmengine.model import PretrainedInit
from mmpretrain.engine import EMAHook
from mmseg.datasets import LoadAnnotations as LoadLabelMap
from torch.nn import GroupNorm
from torch.optim import SGD
import torch
runner_type = MultiDatasetRunner
model = dict(
    type=AllInOne,
    balancer=dict(type=PCGrad),
    backbone=dict(init_cfg=dict(type=PretrainedInit, checkpoint='x.pth')),
    tasks=dict(det=dict(
        type=FCOS,
        bbox_head=dict(type=FCOSHead, norm_cfg=dict(type=GroupNorm, num_groups=8)),
        roi=dict(roi_layer=dict(type=RoIAlign)),
        test_cfg=dict(nms=dict(type=nms, iou_threshold=0.5)))))
train_dataloader = dict(det=dict(collate_fn=dict(type=pseudo_collate), dataset=dict(
    type=RepeatDataset, dataset=dict(type=CocoDataset, pipeline=[
        dict(type=LoadAnnotations), dict(type=LoadLabelMap), dict(type=RandomFlip)]))))
train_cfg = dict(schedule=dict(type=AllTasks))
custom_hooks = [dict(type=EMAHook)]
optim_wrapper = dict(optimizer=dict(type=SGD), dtype=torch.float16)
wrap = dict(type=torch.distributed.fsdp.wrap.size_based_auto_wrap_policy)
"""


def test_each_class_gets_the_name_by_which_its_place_finds_it(tmp_path):
    (tmp_path / 'config.py').write_text(TYPES)
    cfg = load_config(str(tmp_path / 'config.py'))
    det, dataset = cfg.model.tasks.det, cfg.train_dataloader.det.dataset
    assert cfg.runner_type == 'MultiDatasetRunner'
    assert (cfg.model.type, cfg.model.balancer.type) == ('AllInOne', 'PCGrad')
    assert cfg.model.backbone.init_cfg.type == 'Pretrained'
    assert (det.type, det.bbox_head.type, det.bbox_head.norm_cfg.type) == (
        'mmdet.FCOS',
        'FCOSHead',
        'GN',
    )
    # mmcv and mmdet look these up in mmcv.ops.
    assert (det.test_cfg.nms.type, det.roi.roi_layer.type) == ('nms', 'RoIAlign')
    assert cfg.train_dataloader.det.collate_fn.type == 'pseudo_collate'
    assert (dataset.type, dataset.dataset.type) == ('RepeatDataset', 'mmdet.CocoDataset')
    assert [step.type for step in dataset.dataset.pipeline] == [
        'LoadAnnotations',
        'mmseg.LoadAnnotations',
        'mmengine.RandomFlip',  # In the scope of mmdet the bare name is mmdet's.
    ]
    assert cfg.train_cfg.schedule.type == 'AllTasks'
    assert cfg.custom_hooks[0].type == 'mmpretrain.EMAHook'
    assert cfg.optim_wrapper.optimizer.type == 'SGD'
    assert cfg.optim_wrapper.dtype is torch.float16
    assert cfg.wrap.type == 'torch.distributed.fsdp.wrap.size_based_auto_wrap_policy'
    # No imported names remain, and what mmengine writes of it is read as it was.
    assert not {'PCGrad', 'FCOS', 'torch'} & set(cfg)
    assert flat_config(Config.fromstring(cfg.pretty_text, '.py')) == flat_config(cfg) | {
        'optim_wrapper.dtype': repr('torch.float16')
    }


def test_modules_that_a_config_imports_are_no_keys_of_it(tmp_path):
    """mmengine keeps them, and a config with a module cannot be copied."""
    (tmp_path / 'config.py').write_text(
        'import math\nimport os.path as osp\n'
        'from mmpretrain.models import ImageClassifier\n'
        "model = dict(tasks=dict(a=dict(type=ImageClassifier, name=osp.join('x', 'y'))))\n"
        'lr = math.sqrt(4)\n'
    )
    cfg = load_config(str(tmp_path / 'config.py'))
    assert not {'math', 'osp'} & set(cfg) and cfg.lr == 2
    assert copy.deepcopy(cfg).model.tasks.a.name == 'x/y'


def test_a_dump_of_mmengine_has_import_paths_which_become_names(tmp_path):
    (tmp_path / 'config.py').write_text(TYPES)
    Config.fromfile(tmp_path / 'config.py').dump(tmp_path / 'dump.py')
    assert "'mmdet.models.FCOS'" in (tmp_path / 'dump.py').read_text()
    dumped, expected = (load_config(str(tmp_path / f'{name}.py')) for name in ('dump', 'config'))
    for cfg in (dumped, expected):
        cfg.pop('work_dir')
        cfg.optim_wrapper.pop('dtype')
    # These paths work as they are.
    assert dumped.optim_wrapper.optimizer.pop('type') == 'torch.optim.SGD'
    assert dumped.model.tasks.det.bbox_head.norm_cfg.pop('type') == 'torch.nn.GroupNorm'
    del (
        expected.optim_wrapper.optimizer['type'],
        expected.model.tasks.det.bbox_head.norm_cfg['type'],
    )
    assert dumped.to_dict() == expected.to_dict()


def test_a_base_in_another_package_is_read(tmp_path, monkeypatch):
    folder = tmp_path / 'my_lib/configs'
    folder.mkdir(parents=True)
    for place in (tmp_path / 'my_lib', folder):
        (place / '__init__.py').touch()
    (folder / 'fcos.py').write_text(
        'from mmdet.models import FCOS, FCOSHead\n'
        'det = dict(type=FCOS, bbox_head=dict(type=FCOSHead, num_classes=80))\n'
    )
    (tmp_path / 'child.py').write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n    from my_lib.configs.fcos import det\n'
        'det.bbox_head.num_classes = 3\n'
        'model = dict(tasks=dict(det=det))\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = load_config(str(tmp_path / 'child.py'), ['model.tasks.det.bbox_head.stacked_convs=2'])
    assert cfg.model.tasks.det.to_dict() == dict(
        type='mmdet.FCOS', bbox_head=dict(type='FCOSHead', num_classes=3, stacked_convs=2)
    )
    sys.modules.pop('my_lib', None)


@pytest.mark.parametrize(
    'text, says',
    [
        (
            'from torch.optim import SDG\noptim_wrapper = dict(optimizer=dict(type=SDG))\n',
            'optim_wrapper.optimizer.type is torch.optim.SDG, which cannot be imported: Failed to '
            'import SDG from torch.optim in {file}, line 1; check its spelling',
        ),
        (
            'from torch.optim import SGD\n'
            'def collate(batch):\n    return batch\n'
            'train_dataloader = dict(det=dict(collate_fn=dict(type=collate)))\n',
            "train_dataloader.det.collate_fn.type is 'collate', which has no name to import it by, "
            'and a checkpoint keeps its config as text; define it in a module, and import it',
        ),
        (
            'from mmengine.config import read_base\n'
            'with read_base():\n    from mmdet.configs.rtmdet.rtmdet_s import model\n',
            '{file} imports mmdet.configs.rtmdet.rtmdet_s, but the installed mmdet '
            'has its configs as text only; inherit from them in a text config, as in _base_ = '
            "['mmdet::PATH.py']",
        ),
    ],
)
def test_a_type_without_a_name_is_refused(tmp_path, text, says):
    file = tmp_path / 'config.py'
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(str(file))
    assert str(error.value) == says.format(file=file)


def test_classes_in_a_config_made_by_a_program_are_named(toy_root, tmp_path):
    cfg = tiny(tmp_path / 'work')
    expected = cfg.to_dict()

    @MODELS.register_module()
    class Known(torch.nn.Module):
        pass

    class Unknown(torch.nn.Module):
        pass

    cfg.model.tasks.seg.decode_head.known = dict(type=Known)
    cfg.model.tasks.seg.decode_head.unknown = dict(type=Unknown)
    name_types(cfg, strict=False)
    head = cfg.model.tasks.seg.decode_head
    assert (head.pop('known').type, head.pop('unknown').type) == ('allinone.Known', Unknown)
    assert cfg.to_dict() == expected
    MODELS.module_dict.pop('Known')

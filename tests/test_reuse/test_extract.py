"""Extracted models predict what the joint one does, to the last bit, also in the upstream tools."""

import json
import subprocess
import sys
import sysconfig
import venv
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from conftest import ROOT, build_model, run_tool
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, DefaultScope

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.check import check_config
from allinone.config.loading import load_config
from allinone.errors import CheckpointError, ConfigError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.reuse.extract import _own_types, extract, run_extract, upstream_config
from allinone.tasks import Segmentation


@pytest.fixture(scope='module')
def joint(trained, tmp_path_factory):
    """The model of the trained run, and where its config and checkpoint are."""
    _, cfg, work_dir = trained
    config = tmp_path_factory.mktemp('joint') / 'config.py'
    cfg = Config(cfg.to_dict())
    # Four steps of training are not sure of any box.
    cfg.model.tasks.det.test_cfg.score_thr = 0.0
    cfg.dump(str(config))
    checkpoint = work_dir / 'iter_4.pth'
    inferencer = AllInOneInferencer(load_config(str(config)), checkpoint, 'cpu')
    return inferencer.model, cfg, config, checkpoint


@pytest.fixture
def extracted(joint, tmp_path):
    def one(*tasks):
        _, _, config, checkpoint = joint
        extract(load_config(str(config)), checkpoint, tasks, tmp_path / 'out')
        return tmp_path / 'out'

    return one


FOLDERS = dict(cls='cls', det='det', seg='seg/images')


def images(toy_root, task):
    """20 images of the task's data set, as its data set would hand them to the pipeline."""
    folder = toy_root / 'toy' / FOLDERS[task]
    paths = sorted([*(folder / 'val').iterdir(), *(folder / 'train').iterdir()])[:20]
    assert len(paths) == 20
    return [dict(img_path=str(path), img_id=0, instances=[]) for path in paths]


@pytest.fixture(autouse=True)
def any_scope():
    """The upstream tools set a default scope for good."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


def expected(model, cfg, task, image):
    """The joint model's own answer, through the task's test pipeline."""
    steps = [
        step
        for step in cfg.test_dataloader[task].dataset.pipeline
        if step['type'] != 'LoadAnnotations'
    ]
    scope = cfg.model.tasks[task].type.split('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        data = Compose(steps)(dict(image))
    batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    with torch.no_grad():
        return model.val_step({task: batch})[task][0]


# mmdet needs operators that mmcv has only when it is compiled. An environment without them gets
# the one that the toy detector calls, from torchvision, whose answer is the same
# (test_mmcv_ops.py); mmseg and mmpretrain need none.
STAND_IN = """
import torchvision


def nms(boxes, scores, iou_threshold, offset):
    assert offset == 0
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def __getattr__(name):
    if name.startswith('__'):
        raise AttributeError(name)

    def absent(*args, **kwargs):
        raise NotImplementedError(name)

    return absent
"""


def environment_without_allinone(root):
    """A virtual environment with links to all packages of this one but ours; its Python."""
    venv.EnvBuilder(with_pip=False, symlinks=True).create(root)
    python = root / 'bin/python'
    paths = {key: Path(path) for key, path in sysconfig.get_paths().items()}
    target = root / paths['purelib'].relative_to(sys.prefix)
    for package in {*paths['purelib'].iterdir(), *paths['platlib'].iterdir()}:
        # Path files lead to checkouts.
        if 'allinone' not in package.name and package.suffix != '.pth':
            if package.name != 'mmcv':
                (target / package.name).symlink_to(package)
    mmcv = Path(find_spec('mmcv').submodule_search_locations[0])
    (target / 'mmcv').mkdir()
    for part in mmcv.iterdir():
        (target / 'mmcv' / part.name).symlink_to(part)
    if not list(mmcv.glob('_ext*')):
        (target / 'mmcv/_ext.py').write_text(STAND_IN)
    return python


def test_the_libraries_own_tools_in_an_environment_without_allinone(joint, toy_root, tmp_path):
    """The three tasks on 20 images each, and detection once more with an adapted backbone."""
    _, cfg, config, checkpoint = joint
    adapted_model, adapted_cfg = adapted(joint, tmp_path)
    sources = dict.fromkeys(('cls', 'det', 'seg'), (load_config(str(config)), checkpoint))
    sources['adapted'] = adapted_cfg, tmp_path / 'adapted.pth'
    models = dict(cls=joint[0], det=joint[0], seg=joint[0], adapted=adapted_model)
    asked = {}
    for folder, (source, weights) in sources.items():
        task = 'det' if folder == 'adapted' else folder
        extract(source, weights, [task], tmp_path / folder)
        asked[folder] = [task, [image['img_path'] for image in images(toy_root, task)]]
    (tmp_path / 'asked.json').write_text(json.dumps(asked))
    program = Path(__file__).with_name('upstream_predictions.py')
    subprocess.run(
        # -I: PYTHONPATH and the current folder are not looked at.
        [environment_without_allinone(tmp_path / 'environment'), '-I', program, tmp_path],
        check=True,
        timeout=120,
    )
    found = torch.load(tmp_path / 'found.pth')
    assert set(found) == set(asked)
    for folder, answers in found.items():
        task = asked[folder][0]
        assert len(answers) == 20
        for image, answer in zip(images(toy_root, task), answers):
            wanted = numbers(expected(models[folder], cfg, task, image))
            assert all(len(part) for part in wanted)
            for one, other in zip(answer, wanted, strict=True):
                assert torch.equal(one, other), folder


def adapted(joint, folder):
    """The joint model with other weights of the backbone for its detector; checkpoint in folder."""
    model, cfg, _, _ = joint
    cfg = Config(cfg.to_dict())
    cfg.model.tasks.det.adapter = dict(type='LowRankAdapter', rank=2)
    # As after growth: there is no training data for what was there before.
    cfg.model.frozen = ('backbone', 'cls', 'seg')
    cfg.train_dataloader = dict(det=cfg.train_dataloader.det)
    cfg.load_from = 'joint.pth'
    other = build_model(cfg).eval()
    other.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        for parameter in other.tasks['det'].adapter.parameters():
            parameter.normal_(std=0.1)
    torch.save(dict(state_dict=other.state_dict()), folder / 'adapted.pth')
    return other, cfg


def numbers(sample):
    if 'pred_instances' in sample:
        return [sample.pred_instances[key] for key in ('bboxes', 'scores', 'labels')]
    return [sample.seg_logits.data if 'seg_logits' in sample else sample.pred_score]


def test_what_was_grown_is_extracted_as_the_rest(joint, tmp_path):
    _, cfg = adapted(joint, tmp_path)
    for task in ('det', 'seg'):
        counts = extract(cfg, tmp_path / 'adapted.pth', [task], tmp_path / task)
        assert counts['extracted'] == counts['backbone'] + counts[task]
        fewer = load_config(str(tmp_path / task / 'config.py'))
        check_config(fewer)
        assert ('train_dataloader' in fewer) is (task == 'det')
        assert 'frozen' not in fewer.model and fewer.get('load_from') is None
    upstream = read_checkpoint(tmp_path / 'det/upstream.pth')['state_dict']
    assert not [name for name in upstream if 'adapter' in name]
    cfg.pop('val_dataloader')
    cfg.test_dataloader = dict(det=cfg.test_dataloader.det)
    with pytest.raises(ConfigError, match="neither test_dataloader nor val_dataloader has 'seg'"):
        extract(cfg, tmp_path / 'adapted.pth', ['seg'], tmp_path / 'again')
    assert not (tmp_path / 'again').exists()


def test_no_trace_of_allinone_is_left(extracted):
    for task in ('cls', 'det', 'seg'):
        out = extracted(task)
        assert 'allinone.' not in (out / 'upstream_config.py').read_text().lower()
        for file in out.iterdir():
            file.unlink()


def test_a_joint_model_of_fewer_tasks(joint, extracted):
    model, cfg, _, _ = joint
    out = extracted('cls', 'seg')
    assert sorted(path.name for path in out.iterdir()) == ['config.py', 'model.pth']
    fewer = AllInOneInferencer(load_config(str(out / 'config.py')), out / 'model.pth', 'cpu')
    assert list(fewer.model.tasks) == ['cls', 'seg']
    assert fewer.metainfo['seg']['classes'][0] == 'sky'
    inputs = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    found, wanted = fewer.model.predict(inputs), model.predict(inputs, ['cls', 'seg'])
    for a, b in zip(found['seg'], wanted['seg']):
        assert torch.equal(a.seg_logits.data, b.seg_logits.data)
    for a, b in zip(found['cls'], wanted['cls']):
        assert torch.equal(a.pred_score, b.pred_score)
    alone = AllInOneInferencer(out / 'model.pth', device='cpu').model.predict(inputs)
    assert torch.equal(alone['cls'][1].pred_score, found['cls'][1].pred_score)
    extracted_cfg = Config.fromfile(str(out / 'config.py'))
    assert set(extracted_cfg.val_cfg.score) == {'cls/top1', 'seg/mIoU'}


def recipes():
    return sorted(path.name for path in (ROOT / 'configs/track1').glob('*_track1.py'))


@pytest.mark.parametrize('recipe', recipes())
def test_upstream_forms_of_recipes(recipe):
    cfg = load_config(str(ROOT / 'configs/track1' / recipe))
    inner = cfg.test_dataloader.det.dataset
    wrapped = dict(type='RepeatDataset', times=1, dataset=inner, pipeline=[])
    for task in cfg.model.tasks:
        upstream = upstream_config(cfg, task, dict(classes=('i1', 'po')))
        own = set(_own_types(upstream.to_dict()))
        assert own == (
            {'allinone.SimpleFeaturePyramid'} if 'vit' in recipe and task == 'det' else set()
        )
        dataset = upstream.test_dataloader.dataset
        if task == 'det':
            assert dataset.type == 'CocoDataset' and 'classes_from_file' not in dataset
            assert dataset.metainfo.classes == ['i1', 'po']
            cfg.test_dataloader.det.dataset = wrapped
            inside = upstream_config(cfg, task, dict(classes=('i1', 'po'))).test_dataloader.dataset
            assert inside.dataset.metainfo.classes == ['i1', 'po']


def test_a_task_of_our_own_parts_has_no_upstream_form(joint, tmp_path, monkeypatch):
    _, _, config, checkpoint = joint
    # As if the library did not have that metric
    monkeypatch.setattr(Segmentation, 'upstream_types', {})
    said = []
    monkeypatch.setattr('allinone.reuse.extract.print_log', lambda text, *_: said.append(text))
    extract(load_config(str(config)), checkpoint, ['seg'], tmp_path / 'out')
    (sentence,) = said
    assert "no upstream form of seg is written: ['allinone.SegmentationMetric']" in sentence
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['config.py', 'model.pth']


def test_what_is_refused(joint, tmp_path, capsys):
    model, cfg, config, checkpoint = joint
    cfg = load_config(str(config))
    with pytest.raises(ConfigError, match=r"\['dett'\].*\['cls', 'det', 'seg'\]"):
        extract(cfg, checkpoint, ['dett'], tmp_path / 'a')
    lacking = tmp_path / 'lacking.pth'
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('tasks.det.')}
    torch.save(dict(state_dict=state), lacking)
    with pytest.raises(CheckpointError, match='lacks.*tasks.det'):
        extract(cfg, lacking, ['det'], tmp_path / 'a')
    assert not (tmp_path / 'a').exists()
    given = dict(config=str(config), checkpoint=str(checkpoint), cfg_options=None)
    given |= dict(trust_checkpoint=False)
    out = str(tmp_path / 'b')
    assert run_extract(Namespace(**given, tasks=['cls'], out=out)) == 0
    own, backbone, total = (
        sum(p.numel() for name, p in model.named_parameters() if name.startswith(start))
        for start in ('tasks.cls', 'backbone', '')
    )
    assert (
        f'{backbone + own:,} of the {total:,} parameters (backbone {backbone:,}, cls {own:,})'
        in capsys.readouterr().out
    )
    assert run_extract(Namespace(**given, tasks=['cls'], out=out)) == 2
    assert 'upstream.pth' in capsys.readouterr().err


def test_a_file_that_could_run_code_is_for_those_who_trust_it(joint, tmp_path, capsys):
    _, _, config, checkpoint = joint
    odd = tmp_path / 'odd.pth'
    torch.save(dict(read_checkpoint(checkpoint), path=Path('here')), odd)
    given = [config, odd, '--tasks', 'cls', '--out', tmp_path / 'out']
    assert run_tool('extract', *given) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {odd} is refused: it holds pathlib') and '--trust' in error
    assert not (tmp_path / 'out').exists()
    assert run_tool('extract', *given, '--trust-checkpoint') == 0


def test_norms_of_feature_maps_that_a_task_does_not_use_are_left_out(toy_cfg, tmp_path):
    toy_cfg.model.backbone = dict(
        type='mmdet.SwinTransformer', embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1)
    )
    toy_cfg.model.tasks = dict(det=toy_cfg.model.tasks.det)
    toy_cfg.model.tasks.det.neck.in_channels = [16, 32, 64]
    model = build_model(toy_cfg)
    assert 'backbone.norm0.weight' in model.state_dict()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'joint.pth')
    extract(toy_cfg, tmp_path / 'joint.pth', ['det'], tmp_path / 'det')
    upstream = Config.fromfile(tmp_path / 'det/upstream_config.py')
    assert tuple(upstream.model.backbone.out_indices) == (1, 2, 3)
    with DefaultScope.overwrite_default_scope('mmdet'):
        alone = MODELS.build(upstream.model)
    alone.load_state_dict(read_checkpoint(tmp_path / 'det/upstream.pth')['state_dict'])

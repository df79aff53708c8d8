"""Extracted models predict what the joint one does, to the last bit, also in the stock tools."""

from argparse import Namespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from allinone.apis.extract import extract, run_extract
from allinone.apis.inferencer import AllInOneInferencer
from allinone.apis.run import load_config
from allinone.errors import CheckpointError, ConfigError


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


FOLDERS = dict(cls='cls/val', det='det/val', seg='seg/images/val')


def pictures(toy_root, task):
    paths = sorted((toy_root / 'toy' / FOLDERS[task]).iterdir())[:3]
    assert len(paths) == 3
    return [dict(img_path=str(path), img_id=0, instances=[]) for path in paths]


@pytest.fixture(autouse=True)
def any_scope():
    """The stock tools set a default scope for good."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


def expected(joint, task, picture):
    """The joint model's own answer, through the task's test pipeline."""
    model, cfg, _, _ = joint
    steps = [
        step
        for step in cfg.test_dataloader[task].dataset.pipeline
        if step['type'] != 'LoadAnnotations'
    ]
    scope = cfg.model.tasks[task].type.split('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        data = Compose(steps)(dict(picture))
    batch = dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    with torch.no_grad():
        return model.val_step({task: batch})[task][0]


def test_a_stock_detector(joint, extracted, toy_root):
    from mmdet.apis import inference_detector, init_detector

    out = extracted('det')
    stock = init_detector(str(out / 'stock_config.py'), str(out / 'stock.pth'), device='cpu')
    assert stock.dataset_meta['classes'] == ('vehicle', 'pedestrian', 'sign')
    for picture in pictures(toy_root, 'det'):
        found = inference_detector(stock, picture['img_path']).pred_instances
        wanted = expected(joint, 'det', picture).pred_instances
        for key in ('bboxes', 'scores', 'labels'):
            assert len(wanted[key]) and torch.equal(found[key], wanted[key])


def test_a_stock_segmenter(joint, extracted, toy_root):
    from mmseg.apis import inference_model, init_model

    out = extracted('seg')
    stock = init_model(str(out / 'stock_config.py'), str(out / 'stock.pth'), device='cpu')
    for picture in pictures(toy_root, 'seg'):
        found = inference_model(stock, picture['img_path']).seg_logits.data
        assert torch.equal(found, expected(joint, 'seg', picture).seg_logits.data)


def test_a_stock_classifier(joint, extracted, toy_root):
    from mmpretrain import ImageClassificationInferencer

    out = extracted('cls')
    # In a process of its own no default scope is set, and it takes its library's.
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        stock = ImageClassificationInferencer(
            str(out / 'stock_config.py'), str(out / 'stock.pth'), device='cpu'
        )
        for picture in pictures(toy_root, 'cls'):
            found = torch.from_numpy(stock(picture['img_path'])[0]['pred_scores'])
            assert torch.equal(found, expected(joint, 'cls', picture).pred_score)


def test_no_trace_of_allinone_is_left(extracted):
    for task in ('cls', 'det', 'seg'):
        out = extracted(task)
        assert 'allinone.' not in (out / 'stock_config.py').read_text().lower()
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
    extracted_cfg = Config.fromfile(str(out / 'config.py'))
    assert set(extracted_cfg.val_cfg.score) == {'cls/top1', 'seg/mIoU'}


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
    out = str(tmp_path / 'b')
    assert run_extract(Namespace(**given, tasks=['cls'], out=out)) == 0
    own = sum(
        p.numel() for n, p in model.named_parameters() if n.startswith(('backbone', 'tasks.cls'))
    )
    total = sum(p.numel() for p in model.parameters())
    assert f'{own:,} of the {total:,} parameters' in capsys.readouterr().out
    assert run_extract(Namespace(**given, tasks=['cls'], out=out)) == 2
    assert 'stock.pth' in capsys.readouterr().err

"""Retrieval tasks of all models through the whole program."""

import copy

import numpy as np
import pytest
import torch
from conftest import run_tool, write_config
from identity_data import PACK, embedding_model, make_identities, retrieval_config
from mmengine.config import Config
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import DefaultScope

from allinone.checkpoint.loading import read_checkpoint
from allinone.config.loading import load_config
from allinone.errors import ConfigError, DataError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.registry import RUNNERS
from allinone.registry.kinds import kind_of_prediction, kind_of_record
from allinone.reuse.extract import extract
from allinone.tasks import Retrieval
from allinone.visualization.palette import ClassTable

REID = dict(
    type='mmdet.BaseReID',
    feature_indices=(2,),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearReIDHead',
        num_fcs=1,
        in_channels=48,
        fc_channels=24,
        out_channels=16,
        num_classes=6,
        loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
        loss_triplet=dict(type='TripletLoss', margin=0.3),
        norm_cfg=dict(type='BN1d'),
        act_cfg=dict(type='ReLU'),
    ),
)
MARGIN = dict(
    type='mmpretrain.ImageClassifier',
    kind='retrieval',
    feature_indices=(2,),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='ArcFaceClsHead', num_classes=6, in_channels=48),
)
MODELS = dict(
    embedding=(embedding_model(), PACK, 16),
    reid=(REID, dict(type='PackReIDInputs'), 16),
    margin=(MARGIN, PACK, 48),
)


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return make_identities(tmp_path_factory.mktemp('identities'))


@pytest.fixture(scope='module', params=MODELS)
def trained(request, toy_root, images, tmp_path_factory):
    """A trained joint model: its config, checkpoint, model of the task, runner and dimension."""
    model, pack, size = MODELS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    cfg = retrieval_config(images, folder / 'work', model, pack)
    runner = RUNNERS.build(cfg)
    runner.train()
    path = write_config(cfg, folder / 'config.py')
    return request.param, load_config(path), str(folder / 'work/iter_4.pth'), runner, size


def query(images):
    return str(images / '0006_c0s1_000000_00.png')


def test_it_is_trained_validated_and_kept(trained):
    name, _, checkpoint, runner, _ = trained
    metrics = runner.val_loop.run()
    assert 0 <= metrics['reid/rank1'] <= 100 and 0 < metrics['reid/mAP'] <= 100
    kind = runner.model.kinds['reid']
    assert isinstance(kind, Retrieval) and kind.name == 'retrieval'
    state = read_checkpoint(checkpoint)['state_dict']
    assert any(key.startswith('tasks.reid.head') for key in state)


def test_an_embedding_is_a_record_and_an_array(trained, images):
    _, cfg, checkpoint, _, size = trained
    (found,) = AllInOneInferencer(cfg, checkpoint, device='cpu')(query(images), tasks=['reid'])
    record = found['reid']
    array = np.array(record['embedding'], np.float32)
    assert array.shape == (size,) and abs(np.linalg.norm(array) - 1) < 1e-5
    kind = kind_of_record(record)
    assert isinstance(kind, Retrieval)
    sample = kind.read_record('reid', record)
    assert kind_of_prediction(sample).name == 'retrieval'
    assert kind.to_record(sample, ClassTable(None)) == record
    result = kind.result(record, ClassTable(None))
    assert result.embedding.dtype == np.float32 and np.array_equal(result.embedding, array)
    assert kind.misfit(dict(embedding=[])) and kind.misfit(dict(label=1))


def test_the_embedding_network_is_an_upstream_model(trained, tmp_path):
    name, cfg, checkpoint, runner, _ = trained
    out = tmp_path / 'out'
    extract(cfg, checkpoint, ['reid'], out)
    assert (out / 'upstream.pth').exists() == (name != 'embedding')
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(3, 3, 32, 32, generator=generator) * 255
    joint = runner.model.eval()
    joint.load_state_dict(read_checkpoint(checkpoint)['state_dict'])
    kind = joint.kinds['reid']
    expected = [kind.embedding_of(found) for found in joint.predict(batch, ['reid'])['reid']]
    alone = AllInOneInferencer(str(out / 'model.pth'), device='cpu').model
    found = [kind.embedding_of(one) for one in alone.predict(batch, ['reid'])['reid']]
    assert np.array_equal(found, expected)
    if name == 'embedding':
        return
    upstream = Config.fromfile(out / 'upstream_config.py')
    assert 'val_evaluator' not in upstream and upstream.test_pipeline
    with DefaultScope.overwrite_default_scope(upstream.default_scope):
        model = MMENGINE_MODELS.build(copy.deepcopy(upstream.model)).eval()
    assert not type(model).__module__.startswith('allinone')
    model.load_state_dict(read_checkpoint(out / 'upstream.pth')['state_dict'])
    with torch.no_grad():
        if name == 'reid':
            data = dict(inputs=batch, data_samples=kind.samples(batch, [(32, 32)] * 3))
            features = model.predict(**model.data_preprocessor(data))
            features = [sample.pred_feature for sample in features]
        else:
            inputs = model.data_preprocessor(dict(inputs=batch))['inputs']
            features = model.extract_feat(inputs, stage='pre_logits')
    features = [feature.numpy() / np.linalg.norm(feature.numpy()) for feature in features]
    assert np.array_equal(features, expected)


def test_the_head_for_export_gives_the_embedding(trained):
    _, _, _, runner, _ = trained
    model = runner.model.eval()
    batch = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = model.view('reid')(batch)
        kind = model.kinds['reid']
        found = kind.export_head(model.tasks['reid'])(maps)['embedding']
        samples = model.tasks['reid'](batch, kind.samples(batch, [(32, 32)] * 2), mode='predict')
    expected = np.stack([kind.embedding_of(sample) for sample in samples])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def refusal(images, tmp_path, change):
    cfg = retrieval_config(images, tmp_path / 'work')
    change(cfg)
    with pytest.raises((ConfigError, DataError)) as caught:
        RUNNERS.build(cfg).train()
    return str(caught.value)


def test_what_cannot_be_is_refused(toy_root, images, tmp_path):
    said = refusal(images, tmp_path, lambda cfg: cfg.val_cfg.pop('references'))
    assert said.startswith('val_cfg.references.reid is not set, but RankMetrics searches a gallery')
    said = refusal(images, tmp_path, lambda cfg: cfg.model.tasks.reid.head.update(num_classes=5))
    assert said.startswith('train_dataloader.reid has 6 identities, but the head of the task has')
    one = tmp_path / 'one.txt'
    one.write_text('\n'.join(f'000{i}_c0s1_000000_00.png {i}' for i in range(6)))

    def one_image(cfg):
        cfg.train_dataloader.reid.dataset.ann_file = str(one)
        cfg.train_dataloader.reid.pop('sampler')

    said = refusal(images, tmp_path, one_image)
    assert said.startswith('train_dataloader.reid has one image of each of its 6 identities')

    def other_gallery(cfg):
        cfg.val_cfg.references.reid.dataset.ann_file = str(images / 'train.txt')

    assert 'share no identity' in refusal(images, tmp_path, other_gallery)


def test_an_embedding_that_is_not_finite_is_refused():
    kind = Retrieval()
    with pytest.raises(DataError, match='^the embedding of a.png has NaN'):
        kind.embedding_of(kind_sample([float('nan'), 1.0]))
    with pytest.raises(DataError, match='^the embedding of a.png has only zeros'):
        kind.embedding_of(kind_sample([0.0, 0.0]))


def kind_sample(values):
    from mmpretrain.structures import DataSample

    sample = DataSample(metainfo=dict(img_path='a.png'))
    sample.pred_feature = torch.tensor(values)
    return sample


def test_test_and_infer_tools(trained, images, tmp_path, capsys):
    name, cfg, checkpoint, _, size = trained
    if name != 'embedding':
        return
    path = write_config(cfg, tmp_path / 'config.py')
    assert run_tool('test', path, checkpoint, '--work-dir', tmp_path / 'test') == 0
    assert 'rank1' in capsys.readouterr().out
    assert run_tool('infer', checkpoint, query(images), '--out-dir', tmp_path / 'out') == 0
    assert (tmp_path / 'out/predictions.jsonl').exists()

"""Every config in ``configs/`` is built at full size, and a shallow one makes a training step.

A new config is tested by being there. Channels and strides stay, depth is cut by the rules of
:mod:`zoo_configs`. Images are generated: the data of configs have tests of their own.
"""

import re

import pytest
import sweep_samples
import torch
import zoo_configs
from conftest import ROOT
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from weights_table import files_of_weights

from allinone.config.check import check_config
from allinone.config.feature_maps import on_meta
from allinone.config.loading import load_config
from allinone.config.sources import label_weights_of, sources_of
from allinone.data.shared_sample import SharedDataSample
from allinone.registry import MODELS

PAGE = (ROOT / 'docs/ready_configs.md').read_text()
CONFIGS = sorted(
    str(path.relative_to(ROOT / 'configs').with_suffix(''))
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
OTHERS = ('toy', 'track1', 'traffic_mini')  # Folders with pages of their own
SIZE = 64


@pytest.fixture(autouse=True)
def _scope():
    for count in ('iter', 'epoch'):  # Read by some heads
        MessageHub.get_current_instance().update_info(count, 0)
    with DefaultScope.overwrite_default_scope('allinone'):
        yield


def batches(cfg: Config, model) -> dict[str, dict]:
    """Two annotated images of each source, for all its tasks."""
    found = {}
    for source, tasks in sources_of(cfg.train_dataloader).items():
        parts = {}
        for task in tasks:
            kind = model.kinds[task]
            # Masks are made where the task has a head for them, or its data load them.
            needs = Config(dict(model=cfg.model.tasks[task], data=cfg.train_dataloader[source]))
            classes = kind.num_classes(model.tasks[task])
            parts[task] = sweep_samples.batch(kind, needs, classes, SIZE)
        found[source] = parts[tasks[0]]
        if len(tasks) > 1:
            samples = zip(*(part['data_samples'] for part in parts.values()))
            labels = [dict(zip(tasks, several)) for several in samples]
            found[source]['data_samples'] = [SharedDataSample(labels=part) for part in labels]
    return found


def size_of(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_is_built_and_makes_a_step(name, monkeypatch):
    cfg = load_config(str(ROOT / f'configs/{name}.py'))
    check_config(cfg)
    cfg.model.pop('distill', None)  # Teachers are checkpoints of other runs.
    with monkeypatch.context() as patch, on_meta():
        # It computes with values; the shallow model is checked, which has the same channels.
        patch.setattr('allinone.models.allinone.check_tasks', lambda model: {})
        full = MODELS.build(cfg.model)

    torch.manual_seed(0)
    logged = []
    monkeypatch.setattr('allinone.models.probe.print_log', lambda text, *_: logged.append(text))
    model = MODELS.build(zoo_configs.shallow(cfg, SIZE).model)
    assert not [text for text in logged if 'was not checked' in text]
    assert size_of(model) <= size_of(full)
    model.init_weights()
    sources = sources_of(cfg.train_dataloader)
    model.bind_sources(sources, label_weights_of(cfg.train_dataloader))
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    data = batches(cfg, model)
    before = {key: value.clone() for key, value in model.named_parameters()}
    log = model.train().train_step(data, optim_wrapper)
    changed = {key for key, value in model.named_parameters() if not value.equal(before[key])}
    for task in {task for tasks in sources.values() for task in tasks}:
        assert 0 < float(log[f'{task}/loss']) < 1e4
        assert any(key.startswith(f'tasks.{task}.') for key in changed)
    frozen = 'backbone' in model.frozen
    assert any(key.startswith('backbone.') for key in changed) != frozen


def test_the_page_has_each_ready_config_and_its_weights():
    ready = [name for name in CONFIGS if name.split('/')[0] not in OTHERS]
    assert sorted(re.findall(r'^\| `(\S+/\S+)\.py` \|', PAGE, re.MULTILINE)) == ready
    backbones = [Config.fromfile(ROOT / f'configs/{name}.py').model.backbone for name in ready]
    wanted = {backbone.init_cfg.checkpoint.rsplit('/', 1)[1] for backbone in backbones}
    assert files_of_weights(PAGE) == wanted

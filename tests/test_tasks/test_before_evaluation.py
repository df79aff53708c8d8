"""What a kind of task runs before an evaluation, on the batches of a second loader."""

import copy

import pytest
from conftest import single

from allinone.errors import ConfigError, DataError
from allinone.registry import RUNNERS, TASK_KINDS
from allinone.tasks import Classification

SEEN = []


class Nearest(Classification):
    """Compares with a gallery, whose size its metric is given."""

    models = ()

    @classmethod
    def fits(cls, model_class):
        return Classification.fits(model_class)

    def of_model(self, model):
        return self

    def before_evaluation(self, model, batches, evaluator):
        assert not model.training
        images = sum(len(model.test_step(batch)) for batch in batches)
        SEEN.append(images)
        evaluator.metrics[0].gallery = images


@pytest.fixture
def cfg(toy_root, tmp_path):
    SEEN.clear()
    TASK_KINDS.register_module(name='nearest', module=Nearest)
    cfg = single('cls', 'top1', tmp_path / 'work', **{'train_cfg.max_iters': 2})
    cfg.model.tasks.cls.kind = 'nearest'
    cfg.val_cfg.references = dict(cls=copy.deepcopy(cfg.val_dataloader.cls))
    yield cfg
    TASK_KINDS._module_dict.pop('nearest')


def test_each_evaluation_is_preceded_by_it(cfg):
    cfg.train_cfg.val_interval = 1
    runner = RUNNERS.build(cfg)
    runner.train()
    loader = runner.val_loop.dataloader.loaders['cls']
    # The dry run reads two of them.
    assert SEEN == [2, *[len(loader.dataset)] * 2]
    assert runner.val_loop.evaluators['cls'].metrics[0].gallery == len(loader.dataset)


@pytest.mark.parametrize(
    'change, says',
    [
        (
            lambda cfg: cfg.model.tasks.cls.update(kind='classification'),
            "^val_cfg.references has 'cls', but nothing of the kind 'classification' runs before",
        ),
        (
            lambda cfg: cfg.val_cfg.update(references=dict(dog={})),
            r"^val_cfg.references has 'dog', but val_dataloader has only \['cls'\]",
        ),
        (
            lambda cfg: cfg.val_cfg.references.cls.dataset.update(ann_file='no.txt'),
            r'^val_cfg.references.cls.dataset: .*no.txt cannot be read',
        ),
    ],
)
def test_references_that_cannot_be_are_refused(cfg, change, says):
    change(cfg)
    with pytest.raises((ConfigError, DataError), match=says):
        RUNNERS.build(cfg).train()

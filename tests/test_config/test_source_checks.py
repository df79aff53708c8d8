"""Sources in a config: which tasks each serves, and configs in which none can."""

import copy

import pytest
from bad_input import put
from shared_config import STREET, shared_cfg

from allinone.config.check import check_config
from allinone.config.sources import first_data, label_weights_of, sources_of, tasks_served
from allinone.data.fewer_tasks import without_other_tasks
from allinone.errors import ConfigError


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sources')
    return shared_cfg(folder / 'data', folder / 'work')


def test_a_source_without_tasks_serves_the_task_of_its_name(good):
    assert sources_of(good.train_dataloader) == dict(street=STREET, cls=('cls',))
    assert tasks_served(good.val_dataloader) == [*STREET, 'cls']
    assert sources_of(None) == {}


def test_the_data_of_a_task_is_that_of_its_labels(good):
    data = first_data(good, 'train', 'lane')
    assert (data.source, data.shared) == ('street', True)
    assert data.dataset == good.train_dataloader.street.dataset.labels.lane
    assert data.dataset_key == 'train_dataloader.street.dataset.labels.lane'
    data = first_data(good, 'val', 'cls')
    assert (data.source, data.shared, data.dataset_key) == (
        'cls',
        False,
        'val_dataloader.cls.dataset',
    )
    assert first_data(good, 'val', 'other') is None


def test_fewer_tasks_of_a_shared_source(good):
    good.train_dataloader.street.min_labelled = dict(lane=1, seg=2)
    good.train_dataloader.street.label_weights = dict(det=0.5, seg=2)
    try:
        left = without_other_tasks(good.train_dataloader, ['lane', 'det'])
    finally:
        good.train_dataloader.street.pop('min_labelled')
        good.train_dataloader.street.pop('label_weights')
    assert list(left) == ['street'] and left['street']['tasks'] == ('det', 'lane')
    assert list(left['street']['dataset']['labels']) == ['det', 'lane']
    assert left['street']['min_labelled'] == dict(lane=1)
    assert left['street']['label_weights'] == dict(det=0.5)
    assert list(good.train_dataloader.street.dataset.labels) == list(STREET)


def test_a_shared_source_is_a_good_config(good):
    check_config(good)


def test_two_sources_may_train_one_task(good):
    cfg = copy.deepcopy(good)
    cfg.train_dataloader.more = dict(cfg.train_dataloader.cls, tasks=('cls',))
    check_config(cfg)


def test_label_weights_of_shared_and_plain_sources(good):
    cfg = copy.deepcopy(good)
    cfg.train_dataloader.street.label_weights = dict(det=0.5, lane=3)
    cfg.train_dataloader.cls.label_weights = dict(cls=0.25)
    check_config(cfg)
    weights = label_weights_of(cfg.train_dataloader)
    assert weights == dict(street=dict(det=0.5, lane=3), cls=dict(cls=0.25))
    assert label_weights_of(good.train_dataloader) == {} == label_weights_of(None)


def test_a_task_that_is_only_in_a_shared_source_is_trained(good):
    cfg = copy.deepcopy(good)
    cfg.train_dataloader.street.tasks = ('det', 'seg')
    cfg.train_dataloader.street.dataset.labels.pop('lane')
    with pytest.raises(ConfigError, match=r"^model\.tasks has \['lane'\], but train_dataloader do"):
        check_config(cfg)


def test_fewer_tasks_keep_the_transforms_that_they_had(good):
    """A name without a prefix is one of mmdet where a task has boxes, also after these are left."""
    cfg = copy.deepcopy(good)
    cfg.train_dataloader.street.dataset.pipeline[2].type = 'Resize'
    left = without_other_tasks(cfg.train_dataloader, ['lane'])['street']['dataset']
    assert (left['pipeline'][2]['type'], left['pipeline'][2]['_scope_']) == ('Resize', 'mmdet')


def test_classes_in_a_shared_pipeline_have_names_that_no_library_changes():
    from mmcv.transforms import LoadImageFromFile, Resize
    from mmdet.datasets.transforms import Resize as ResizeWithBoxes
    from mmengine.config import Config
    from mmseg.datasets import BaseSegDataset

    from allinone.config.type_names import name_types
    from allinone.data import PackSharedInputs, SharedDataset

    steps = (LoadImageFromFile, Resize, ResizeWithBoxes, PackSharedInputs)
    dataset = dict(
        type=SharedDataset,
        labels=dict(lane=dict(type=BaseSegDataset)),
        pipeline=[dict(type=step) for step in steps],
    )
    cfg = Config(dict(train_dataloader=dict(street=dict(tasks=('lane',), dataset=dataset))))
    name_types(cfg)
    found = cfg.train_dataloader.street.dataset
    assert (
        found.type == 'allinone.SharedDataset' and found.labels.lane.type == 'mmseg.BaseSegDataset'
    )
    assert [step.type for step in found.pipeline] == [
        'LoadImageFromFile',
        'mmengine.Resize',
        'mmdet.Resize',
        'allinone.PackSharedInputs',
    ]


def rename(stage, old, new):
    def change(cfg):
        loaders = cfg[f'{stage}_dataloader']
        loaders[new] = loaders.pop(old)

    return change


def no_tasks(cfg):
    cfg.train_dataloader.street.pop('tasks')


def named_like_a_task(cfg):
    rename('train', 'street', 'det')(cfg)
    cfg.train_dataloader.det.pop('tasks')


def evaluated_twice(cfg):
    cfg.val_dataloader.more = dict(cfg.val_dataloader.cls, tasks=('cls',))


def no_labels(cfg):
    cfg.train_dataloader.street.dataset.labels = None


def plain(cfg):
    cfg.train_dataloader.street.dataset = cfg.train_dataloader.cls.dataset


BAD = {
    'a free name without tasks': (
        no_tasks,
        "train_dataloader has ['street'], which model.tasks does not have (['cls', 'det', 'seg', "
        "'lane']); add the task, or remove the key, or say which tasks it serves with "
        "tasks=('TASK', ...)",
    ),
    'a misspelt task': (
        put('train_dataloader.street.tasks', ('det', 'seg', 'lanes')),
        "train_dataloader.street.tasks has 'lanes', which model.tasks does not have; do you mean "
        "'lane'?",
    ),
    'no tasks': (
        put('train_dataloader.street.tasks', ()),
        "train_dataloader.street.tasks is (); give names of tasks, as in ('cls',), or leave it out "
        'of a source that is named like its task',
    ),
    'a text': (
        put('train_dataloader.street.tasks', 'det'),
        "train_dataloader.street.tasks is 'det'; give names of tasks, as in ('cls',), or leave it "
        'out of a source that is named like its task',
    ),
    'a task twice': (
        put('train_dataloader.street.tasks', ('det', 'seg', 'det')),
        "train_dataloader.street.tasks has 'det' twice; name each task once",
    ),
    'the name of another task': (
        rename('train', 'street', 'cls'),
        "train_dataloader.cls is named like the task 'cls', but its tasks are ['det', 'seg', "
        "'lane']; give it another name, or add 'cls' to its tasks",
    ),
    'the name of one of its tasks': (
        named_like_a_task,
        "train_dataloader.det.dataset.labels has ['seg', 'lane'], but train_dataloader.det serves "
        "only ['det']; set train_dataloader.det.tasks to ('det', 'seg', 'lane'), or remove these "
        'labels',
    ),
    'a task without labels': (
        put('train_dataloader.street.tasks', ('det', 'seg', 'lane', 'cls')),
        "train_dataloader.street.tasks has ['cls'], but train_dataloader.street.dataset.labels has "
        "only ['det', 'seg', 'lane']; add the labels of ['cls'], or take it off tasks",
    ),
    'labels without a task': (
        put('val_dataloader.street.tasks', ('det', 'seg')),
        "val_dataloader.street.dataset.labels has ['lane'], but val_dataloader.street serves only "
        "['det', 'seg']; set val_dataloader.street.tasks to ('det', 'seg', 'lane'), or remove "
        'these labels',
    ),
    'no labels': (
        no_labels,
        'train_dataloader.street.dataset.labels is None; give the config of the data set of each '
        "task's labels, as in labels=dict(det=dict(type=...))",
    ),
    'the data set of one task': (
        plain,
        "train_dataloader.street.tasks is ['det', 'seg', 'lane'], but "
        "train_dataloader.street.dataset.type is 'ImageListDataset', which has labels of one task; "
        "use type='SharedDataset' with labels=dict(det=..., seg=...)",
    ),
    'a minimum of no task': (
        put('train_dataloader.street.min_labelled', dict(lan=1)),
        "train_dataloader.street.min_labelled has 'lan', which this source does not serve; do you "
        "mean 'lane'?",
    ),
    'no minimum': (
        put('train_dataloader.street.min_labelled', dict(lane=-1)),
        'train_dataloader.street.min_labelled.lane is -1; give a whole number of at least 0',
    ),
    'a minimum in validation': (
        put('val_dataloader.street.min_labelled', dict(lane=1)),
        "val_dataloader.street.min_labelled is {'lane': 1}, but evaluation reads each image once, "
        'in order; it is for train_dataloader alone, so remove it here',
    ),
    'a minimum of a data set of one task': (
        put('train_dataloader.cls.min_labelled', dict(cls=1)),
        "train_dataloader.cls.min_labelled is {'cls': 1}, but each image of this data set has its "
        "task's labels; remove it",
    ),
    'a minimum that is a number': (
        put('train_dataloader.street.min_labelled', 2),
        'train_dataloader.street.min_labelled is 2; give dict(det=1)',
    ),
    'a label weight of no task': (
        put('train_dataloader.street.label_weights', dict(lan=0.5)),
        "train_dataloader.street.label_weights has 'lan', which this source does not serve; do you "
        "mean 'lane'?",
    ),
    'a label weight of a task of another source': (
        put('train_dataloader.cls.label_weights', dict(lane=0.5)),
        "train_dataloader.cls.label_weights has 'lane', which this source does not serve; name "
        "some of ['cls']",
    ),
    'a label weight of 0': (
        put('train_dataloader.street.label_weights', dict(lane=0)),
        'train_dataloader.street.label_weights.lane is 0; give a number above 0, or, if '
        "'lane' is not to train on this source, leave 'lane' off train_dataloader.street.tasks",
    ),
    'a label weight of 0 of the only task': (
        put('train_dataloader.cls.label_weights', dict(cls=0.0)),
        "train_dataloader.cls.label_weights.cls is 0.0; give a number above 0, or, if 'cls' is not "
        'to train on this source, leave it out',
    ),
    'a negative label weight': (
        put('train_dataloader.street.label_weights', dict(lane=-0.5)),
        'train_dataloader.street.label_weights.lane is -0.5; give a number above 0',
    ),
    'a label weight of NaN': (
        put('train_dataloader.street.label_weights', dict(lane=float('nan'))),
        'train_dataloader.street.label_weights.lane is nan; give a number above 0',
    ),
    'a label weight that is a flag': (
        put('train_dataloader.street.label_weights', dict(lane=False)),
        'train_dataloader.street.label_weights.lane is False; give a number above 0',
    ),
    'a label weight that is a text': (
        put('train_dataloader.street.label_weights', dict(lane='0.5')),
        "train_dataloader.street.label_weights.lane is '0.5'; give a number above 0",
    ),
    'a label weight of all tasks': (
        put('train_dataloader.street.label_weights', 0.5),
        'train_dataloader.street.label_weights is 0.5; give dict(det=0.5)',
    ),
    'label weights in validation': (
        put('val_dataloader.cls.label_weights', dict(cls=0.5)),
        "val_dataloader.cls.label_weights is {'cls': 0.5}, but metrics count all images alike; it "
        'is for train_dataloader alone, so remove it here',
    ),
    'a task that is evaluated twice': (
        evaluated_twice,
        "val_dataloader.cls and val_dataloader.more both serve 'cls', but a task is evaluated on "
        'one of them; take it off one',
    ),
    'a name with a dot': (
        rename('train', 'street', 'my.street'),
        "a dataloader has the name 'my.street'; leave '/' and '.' out, which the log and the keys "
        'of a config are written with',
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_a_source_that_cannot_work_is_refused(good, name):
    change, sentence = BAD[name]
    cfg = copy.deepcopy(good)
    change(cfg)
    with pytest.raises(ConfigError) as error:
        check_config(cfg)
    assert str(error.value) == sentence

"""A tiny joint config with a source of three tasks and one of a single task."""

import copy

from conftest import tiny
from shared_data import CLASSES, cls, det, lane, seg, write_shared_data

STREET = ('det', 'seg', 'lane')


def shared_cfg(root, work_dir, **options):
    """The toy config with boxes and two label maps of the same images, and another source.

    Args:
        root: A folder, whose images are written if it is absent.
        work_dir: Of the run.
        **options: As of ``tiny``.
    """
    if not root.exists():
        write_shared_data(root)
    cfg = tiny(work_dir, experiment_name=str(work_dir).replace('/', '_'))
    cfg.default_hooks.checkpoint.pop('save_best', None)
    tasks = cfg.model.tasks
    tasks.cls.head.num_classes = 3
    tasks.seg.decode_head.num_classes = 3
    tasks.det.test_cfg.score_thr = 0  # So that it finds something
    tasks.lane = copy.deepcopy(tasks.seg)
    tasks.lane.decode_head.num_classes = 2
    cfg.train_dataloader = dict(
        street=dict(batch_size=4, num_workers=0, tasks=STREET, dataset=street(root)),
        cls=dict(batch_size=2, num_workers=0, dataset=alone(root)),
    )
    cfg.val_dataloader = cfg.test_dataloader = dict(
        street=dict(
            batch_size=3, num_workers=0, tasks=STREET, dataset=street(root, test_mode=True)
        ),
        cls=dict(batch_size=2, num_workers=0, dataset=alone(root)),
    )
    cfg.val_evaluator = cfg.test_evaluator = dict(
        cls=dict(type='mmpretrain.Accuracy', topk=(1,)),
        det=dict(
            type='allinone.DetectionMetric',
            _scope_='mmdet',
            metric='bbox',
            ann_file=f'{root}/boxes.json',
        ),
        seg=dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU']),
        lane=dict(type='allinone.SegmentationMetric', _scope_='mmseg', iou_metrics=['mIoU']),
    )
    score = {'cls/top1': 1, 'det/bbox_mAP_50': 100, 'seg/mIoU': 1, 'lane/mIoU': 1}
    cfg.val_cfg.score = cfg.test_cfg.score = score
    cfg.merge_from_dict(options)
    return cfg


def street(root, test_mode=False):
    """The config of the data set of the shared source."""
    resize = dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True)
    load = dict(type='LoadSharedAnnotations')
    # mmseg compares predictions with label maps of the size of the file.
    steps = [resize, load] if test_mode else [load, resize, dict(type='mmdet.RandomFlip', prob=0.5)]
    return dict(
        type='SharedDataset',
        labels=dict(det=det(root), seg=seg(root), lane=lane(root)),
        test_mode=test_mode,
        pipeline=[dict(type='LoadImageFromFile'), *steps, dict(type='PackSharedInputs')],
    )


def alone(root):
    """The config of the data set of the classifier's source."""
    return dict(
        cls(root),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(96, 64)),
            dict(type='mmpretrain.PackInputs'),
        ],
    )


assert len(CLASSES) == 3  # as the heads have

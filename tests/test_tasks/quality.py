"""A kind of task of a user's own, with its model, data set and metric: image quality regression."""

import cv2
import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from allinone.registry import DATASETS, METRICS, MODELS, TASK_KINDS, TRANSFORMS
from allinone.tasks import TaskKind


@MODELS.register_module()
class QualityRegressor(BaseModel):
    """Mean of a feature map, and one linear layer."""

    def __init__(self, backbone, in_channels, data_preprocessor=None):
        super().__init__(data_preprocessor or dict(type='mmpretrain.ClsDataPreprocessor'))
        self.backbone = MODELS.build(backbone)
        self.head = nn.Linear(in_channels, 1)

    def extract_feat(self, inputs):
        return self.backbone(inputs)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        quality = self.head(self.extract_feat(inputs)[-1].mean((2, 3))).squeeze(1)
        if mode == 'loss':
            target = quality.new_tensor([sample.gt_quality for sample in data_samples])
            return dict(loss=F.mse_loss(quality, target))
        if mode == 'predict':
            for sample, value in zip(data_samples, quality):
                sample.set_field(value.detach(), 'pred_quality')
            return data_samples
        return quality


@TASK_KINDS.register_module(name='quality')
class Quality(TaskKind):
    """A number of each image: ``{'quality'}``."""

    models = (f'{__name__}.QualityRegressor',)
    library = 'mmpretrain'
    sample_type = 'mmpretrain.structures.DataSample'
    preprocessor = 'ClsDataPreprocessor'
    main_metrics = ('mae',)

    def label_of(self, info):
        return (info['gt_quality'],)

    def metric_names(self, metric):
        return {'mae'}

    @classmethod
    def predicts(cls, sample):
        return 'pred_quality' in sample

    def to_record(self, sample, table, masks='rle'):
        return dict(quality=float(sample.pred_quality))

    def from_record(self, record):
        return BaseDataElement(pred_quality=record['quality'])

    @classmethod
    def schema(cls):
        return dict(
            type='object', properties=dict(quality=dict(type='number')), required=['quality']
        )

    def ground_truth(self, sample, info=None):
        known = 'gt_quality' in sample
        return BaseDataElement(**(dict(pred_quality=sample.gt_quality) if known else {}))

    def draw(self, drawing, task, sample, table, score_thr):
        drawing.add_labels(task, [f'quality {float(sample.pred_quality):.2f}'])


@DATASETS.register_module()
class QualitySet(BaseDataset):
    """Images of a list, each with a quality of 1, 1/2, 1/3 or 1/4 in turn."""

    def load_data_list(self):
        with open(self.ann_file, encoding='utf-8') as file:
            names = [line.split()[0] for line in file]
        return [
            dict(img_path=f'{self.data_prefix["img_path"]}/{name}', gt_quality=1 / (1 + i % 4))
            for i, name in enumerate(names)
        ]


@TRANSFORMS.register_module()
class Degrade(nn.Module):
    """Make an image smaller by its quality, and large again."""

    def forward(self, results):
        height, width = results['img'].shape[:2]
        quality = results['gt_quality']
        small = cv2.resize(results['img'], (int(width * quality), int(height * quality)))
        results['img'] = cv2.resize(small, (width, height))
        return results


@METRICS.register_module()
class MeanAbsoluteError(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [abs(float(s['pred_quality']) - s['gt_quality']) for s in data_samples]

    def compute_metrics(self, results):
        return dict(mae=torch.tensor(results).mean().item())


def quality_config(root, batch_size=4):
    """Keys of a joint config for a task of this kind: model, loaders of two stages, metric."""

    def loader(split):
        return dict(
            batch_size=batch_size,
            num_workers=0,
            dataset=dict(
                type='allinone.QualitySet',
                ann_file=f'{root}/cls/{split}.txt',
                data_prefix=dict(img_path=f'{root}/cls/{split}'),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='mmpretrain.Resize', scale=64),
                    dict(type='Degrade'),
                    dict(type='mmpretrain.PackInputs', algorithm_keys=('gt_quality',)),
                ],
            ),
        )

    model = dict(type='allinone.QualityRegressor', feature_indices=(2,), in_channels=48)
    return model, loader('train'), loader('val'), dict(type='allinone.MeanAbsoluteError')

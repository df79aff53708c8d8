"""Small images of identities, and joint configs with a retrieval task on them."""

import copy

import numpy as np
from conftest import classification
from PIL import Image

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='mmpretrain.Resize', scale=(32, 32))]
PACK = dict(type='mmpretrain.PackInputs')


def make_identities(root, identities=6, images=4):
    """``train.txt``, ``query.txt`` and ``gallery.txt``, with lines ``PATH IDENTITY CAMERA``.

    An identity has a colour and a stripe. Identities of training are not searched; of each other
    one image of camera 0 is the query.
    """
    generator = np.random.default_rng(0)
    lines = dict(train=[], query=[], gallery=[])
    for identity in range(2 * identities):
        colour, place = generator.integers(0, 256, (2, 3)), generator.integers(4, 28)
        for number in range(images):
            pixels = generator.normal(colour[0], 25, (32, 32, 3))
            pixels[:, place : place + 4] = colour[1]
            name = f'{identity:04}_c{number % 2}s1_{number:06}_00.png'
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name)
            split = 'train' if identity < identities else 'gallery' if number else 'query'
            lines[split].append(f'{name} {identity:04} {number % 2}')
    for split, found in lines.items():
        (root / f'{split}.txt').write_text('\n'.join(found) + '\n')
    return root


def loader(root, split, pack=PACK, **options):
    return dict(
        num_workers=0,
        dataset=dict(
            type='IdentityDataset',
            ann_file=str(root / f'{split}.txt'),
            data_prefix=str(root),
            pipeline=[*PIPELINE, pack],
            test_mode=split != 'train',
        ),
        **options,
    )


def embedding_model(losses=None, **head):
    losses = losses or [dict(type='SoftmaxLoss'), dict(type='TripletLoss')]
    return dict(
        type='allinone.EmbeddingModel',
        feature_indices=(2,),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(
            type='EmbeddingHead', embedding_size=16, in_channels=48, num_classes=6, losses=losses
        )
        | head,
    )


def retrieval_config(root, work_dir, model=None, pack=PACK, **options):
    """The toy config with its classification, and a task ``reid``."""
    cfg = classification(work_dir, **options)
    cfg.model.tasks.reid = copy.deepcopy(model or embedding_model())
    sampler = dict(type='IdentitySampler', identities=3, images_per_identity=2)
    cfg.train_dataloader.reid = loader(root, 'train', pack, batch_size=6, sampler=sampler)
    for stage in ('val', 'test'):
        cfg[f'{stage}_dataloader'].reid = loader(root, 'query', pack, batch_size=4)
        cfg[f'{stage}_evaluator'].reid = dict(type='RankMetrics')
        cfg[f'{stage}_cfg'].references = dict(reid=loader(root, 'gallery', pack, batch_size=4))
    cfg.default_hooks.checkpoint.save_best = 'reid/rank1'
    return cfg

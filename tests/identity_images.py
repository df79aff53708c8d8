"""Small images of identities, and a joint model of boxes and embeddings."""

import cv2
import numpy as np

SIDE = 48


def image_of(identity, number):
    """Blobs of the colours of an identity, moved and noisy: uint8 BGR ``(48, 48, 3)``."""
    of_identity = np.random.default_rng([7, identity])
    own = np.random.default_rng([8, identity, number])
    image = np.empty((SIDE, SIDE, 3), np.float64)
    image[:] = of_identity.uniform(30, 220, 3)
    for _ in range(3):
        centre = of_identity.uniform(8, SIDE - 8, 2) + own.uniform(-3, 3, 2)
        radius = int(of_identity.integers(6, 14))
        colour = of_identity.uniform(0, 255, 3)
        cv2.circle(image, tuple(map(int, centre)), radius, colour.tolist(), -1)
    return (image + own.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)


def write_identities(folder, identities, numbers):
    """``folder/id03/1.png`` of each identity and number; returns the folder."""
    for identity in identities:
        place = folder / f'id{identity:02d}'
        place.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            cv2.imwrite(str(place / f'{number}.png'), image_of(identity, number))
    return folder


def embedding_config(cfg, folder):
    """The toy config with detection and ``reid``, which is trained on images of ``folder``."""
    cfg.model.tasks = dict(
        det=cfg.model.tasks.det,
        reid=dict(
            type='mmdet.BaseReID',
            feature_indices=(2,),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearReIDHead',
                num_fcs=0,
                in_channels=48,
                fc_channels=1,
                out_channels=32,
                num_classes=12,
                loss_cls=dict(type='mmpretrain.CrossEntropyLoss'),
            ),
        ),
    )
    cfg.model.tasks.det.test_cfg.score_thr = 0.001
    cfg.model.tasks.det.test_cfg.max_per_img = 6
    steps = [
        dict(type='mmpretrain.LoadImageFromFile'),
        dict(type='mmpretrain.Resize', scale=(SIDE, SIDE)),
        dict(type='allinone.PackReIDInputs'),
    ]
    loader = dict(
        batch_size=24,
        num_workers=0,
        dataset=dict(type='allinone.IdentityDataset', data_prefix=str(folder), pipeline=steps),
    )
    for stage in ('train', 'test'):
        cfg[f'{stage}_dataloader'] = dict(
            det=cfg[f'{stage}_dataloader'].det,
            reid=dict(loader, sampler=dict(type='DefaultSampler', shuffle=stage == 'train')),
        )
    for part in ('val_dataloader', 'val_evaluator', 'test_evaluator'):
        cfg[part] = dict(det=cfg[part].det)
    cfg.test_evaluator.reid = dict(type='mmdet.ReIDMetrics', metric='mAP')
    cfg.val_cfg.score = cfg.test_cfg.score = {'det/bbox_mAP_50': 100}
    return cfg

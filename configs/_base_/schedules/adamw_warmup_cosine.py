# AdamW with a linear warm-up and a cosine to zero. The config gives the length of the training and
# train_cfg.warmup.
_base_ = './adamw_cosine.py'

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0)]

# AdamW. The config adds a linear warm-up and a cosine to zero, which follow the length of the
# training: schedulers without begin and end, and `train_cfg.warmup`.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=10),
    # Heads whose levels share layers (RTMDet) list their parameters more than once.
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0., bypass_duplicate=True))

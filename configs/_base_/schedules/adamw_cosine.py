# AdamW with a linear warm-up and a cosine to zero over `train_cfg.max_iters` steps
# (`convert_to_iter_based` would need epochs; so T_max is set with max_iters by the config).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.02),
    clip_grad=dict(max_norm=10),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.))

default_scope = 'allinone'
runner_type = 'MultiDatasetRunner'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
randomness = dict(seed=0)
default_hooks = dict(
    runtime_info=dict(type='DeferredLogHook'),
    bad_steps=dict(type='NonFiniteHook', max_consecutive=10),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    batch_sizes=dict(type='BatchSizeHook'),
    follow_validation=dict(type='FollowValidationHook'),
    checkpoint=dict(
        # Without an interval: as often as validation
        type='CheckpointHook', by_epoch=False, max_keep_ckpts=2, save_best='score',
        rule='greater'))
log_processor = dict(by_epoch=False)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
val_cfg = dict(type='MultiTaskValLoop')
test_cfg = dict(type='MultiTaskTestLoop')

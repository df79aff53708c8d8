# Options of the methods that are best not started with their defaults, by method. Two bases may
# not both define `model`: model = dict(balancer={{_base_.balancers.GradNorm}})
balancers = dict(
    # Follow validation: replace the metrics by those of your tasks; factors to a fraction of 1.
    CoBa=dict(type='CoBa', metrics={'cls/top1': 0.01, 'det/bbox_mAP_50': 1, 'seg/mIoU': 0.01}),
    DynamicTaskPrioritization=dict(
        type='DynamicTaskPrioritization',
        metrics={'cls/top1': 0.01, 'det/bbox_mAP_50': 1, 'seg/mIoU': 0.01}),
    # Adam, as in the paper's experiments: its steps do not depend on the size of the gradients.
    GradNorm=dict(type='GradNorm', optimizer='adam'),
    MGDA=dict(type='MGDA', normalizer='loss+'),
    # A running mean of another method's weights
    SmoothedTaskWeights=dict(type='SmoothedTaskWeights', balancer=dict(type='FairGrad')),
    # On the logarithms of the losses, relative to the first after a warm-up
    STCH=dict(type='WarmUp', length=100,
              balancer=dict(type='STCH', log=True, reference='first')),
    # Another method's weights, computed every 10 iterations
    UpdateEvery=dict(type='UpdateEvery', balancer=dict(type='NashMTL')))

# Follows validation: replace the metrics by your tasks' own; factors to a fraction of 1.
balancer = dict(
    type='CoBa', tau=5.0,
    metrics={'cls/top1': 0.01, 'det/bbox_mAP_50': 1, 'seg/mIoU': 0.01})

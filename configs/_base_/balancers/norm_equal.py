# All gradients at one norm; clip each task first with model.max_task_norm.
balancer = dict(type='NormEqual')

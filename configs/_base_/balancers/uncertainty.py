# Name the tasks whose loss is a cross entropy in `classification`.
balancer = dict(type='Uncertainty', lr=0.01)

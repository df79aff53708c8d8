# One sign for each element.
balancer = dict(type='GradDrop')

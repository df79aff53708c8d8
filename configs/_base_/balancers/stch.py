# On the logarithms of the losses, relative to the first after a warm-up.
balancer = dict(
    type='WarmUp', length=100,
    balancer=dict(type='STCH', mu=1.0, log=True, reference='first'))

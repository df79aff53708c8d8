# No direction depends on a loss's unit.
balancer = dict(type='GeometricMean')

# A bargaining solution, of length max_norm.
balancer = dict(type='NashMTL', max_norm=1.0)

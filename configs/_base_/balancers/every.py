# Another method's weights, computed every 10 steps.
balancer = dict(type='Every', interval=10, balancer=dict(type='NashMTL'))

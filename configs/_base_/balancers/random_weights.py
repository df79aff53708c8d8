# A litmus test for the others.
balancer = dict(type='RandomWeights', seed=0)

# The baseline to beat: tune `weights` first, e.g. weights=dict(det=2).
balancer = dict(type='FixedWeights')

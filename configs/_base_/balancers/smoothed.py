# A running mean of another method's weights.
balancer = dict(type='Smoothed', momentum=0.9, balancer=dict(type='FairGrad'))

# Around any method. The paper's strength with batch norm in the model; 10 without.
balancer = dict(type='GradientOrthogonality', balancer=dict(type='FixedWeights'), alpha=0.1)

# alpha 1: proportional fairness; larger: towards max-min.
balancer = dict(type='FairGrad', alpha=1.0)

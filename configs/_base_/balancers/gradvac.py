# PCGrad towards the usual angle.
balancer = dict(type='GradVac', beta=0.5)

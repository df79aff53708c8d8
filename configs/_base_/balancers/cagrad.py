# c: 0 is the mean gradient, 1 and more never conflicts.
balancer = dict(type='CAGrad', c=0.4)

# The mean of the gradients, each freed of its conflicts.
balancer = dict(type='UPGrad')

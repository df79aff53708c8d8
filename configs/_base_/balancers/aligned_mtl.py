# Gradients made orthogonal and equally long.
balancer = dict(type='AlignedMTL')

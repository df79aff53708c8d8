# Losses only, and no second forward pass.
balancer = dict(type='FAMO', lr=0.025)

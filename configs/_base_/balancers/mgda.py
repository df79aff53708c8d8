# normalizer: 'none', 'l2', 'loss' or 'loss+'.
balancer = dict(type='MGDA', normalizer='loss+')

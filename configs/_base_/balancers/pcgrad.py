# Projects conflicts away.
balancer = dict(type='PCGrad')

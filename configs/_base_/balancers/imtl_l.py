# Brings each scaled loss to 1.
balancer = dict(type='IMTLL', lr=0.01)

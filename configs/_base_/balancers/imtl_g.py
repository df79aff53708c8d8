# Equal projections on all tasks' gradients.
balancer = dict(type='IMTLG')

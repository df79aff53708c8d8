# Adam, as in the paper's experiments: its steps do not depend on the size of the gradients.
balancer = dict(type='GradNorm', alpha=1.5, lr=0.025, optimizer='adam')

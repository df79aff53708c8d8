# An epoch is one pass over the largest data set, or `interval` steps.
balancer = dict(type='DynamicWeightAverage', temperature=2.0)

# Embeddings for retrieval: pooled last map, a batch norm before the classes of identities, softmax
# and batch-hard triplet loss, as the "bag of tricks" of re-identification (1906.08332)
embedding = dict(
    type='allinone.EmbeddingModel',
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='EmbeddingHead',
        losses=[dict(type='SoftmaxLoss', smoothing=0.1), dict(type='TripletLoss', margin=0.3)]))

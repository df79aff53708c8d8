# ViT-S/16 with windowed attention but in layers 2, 5, 8 and 11.
# Maps: 384 channels at stride 16.
# Weights: none in this form
_base_ = './vit_b_windowed.py'

model = dict(backbone=dict(arch=dict(
    _delete_=True, embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536,
    global_attn_indexes=[2, 5, 8, 11])))

"""Run an exported graph with torch alone: python pt2_torch.py F.pt2 IMAGES.npy OUTPUTS.npz.

IMAGES.npy is float32, N x 3 x H x W, RGB, from 0 to 255, resized and padded as the metadata say.
"""

import json
import sys

import numpy as np
import torch

path, images, outputs = sys.argv[1:]
extra = {'allinone': ''}
# torch.export.load can run code of a file: load what you trust.
program = torch.export.load(path, extra_files=extra)
metadata = json.loads(extra['allinone'])
with torch.no_grad():
    found = program.module()(torch.from_numpy(np.load(images)))
for task, about in metadata['tasks'].items():
    for name in about['outputs']:
        print(f'{task}: {name} {tuple(found[name].shape)}, {len(about["classes"])} classes')
np.savez(outputs, **{name: value.numpy() for name, value in found.items()})

import os

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from allinone.engine.checkpoint import load_weights, read_checkpoint
from allinone.errors import CheckpointError


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    target = tmp_path / 'made_by_the_checkpoint'
    torch.save(
        dict(state_dict=dict(weight=torch.zeros(1)), extra=Evil(str(target))), tmp_path / 'evil.pth'
    )
    with pytest.raises(CheckpointError, match=r'evil\.pth is refused.*mkdir'):
        read_checkpoint(tmp_path / 'evil.pth')
    assert not target.exists()


def test_mmengines_own_log_types_are_read(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save(dict(message_hub=dict(log_scalars={'train/loss': buffer})), tmp_path / 'ok.pth')
    found = read_checkpoint(tmp_path / 'ok.pth')['message_hub']['log_scalars']['train/loss']
    assert found.data[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04' + b'0' * 50])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / 'bad.pth').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'bad\.pth'):
        read_checkpoint(tmp_path / 'bad.pth')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match='no such checkpoint'):
        read_checkpoint(tmp_path / 'none.pth')


def test_what_fits_is_loaded_and_the_rest_left(tmp_path):
    torch.save(
        {
            'module.0.weight': torch.ones(2, 3),
            'module.0.bias': torch.ones(5),
            'module.9.bias': torch.ones(1),
        },
        tmp_path / 'some.pth',
    )
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    bias = model[0].bias.detach().clone()
    load_weights(model, tmp_path / 'some.pth')
    assert (model[0].weight == 1).all()
    assert torch.equal(model[0].bias, bias)  # of another shape in the file


def test_a_prefix_selects(tmp_path):
    torch.save({'trunk.weight': torch.ones(1, 1), 'weight': torch.zeros(1, 1)}, tmp_path / 'p.pth')
    model = nn.Linear(1, 1)
    load_weights(model, tmp_path / 'p.pth', prefix='trunk')
    assert model.weight.item() == 1
    with pytest.raises(CheckpointError, match="below 'neck'"):
        load_weights(model, tmp_path / 'p.pth', prefix='neck')

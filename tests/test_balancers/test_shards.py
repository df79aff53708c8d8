"""What processes that hold parts of gradients have to know of the whole."""

import math

import pytest
import torch

from allinone.distributed import processes
from allinone.distributed.processes import Alone, Shards

SHAPES = (5, 3), (1,), (7, 2, 2), (2,), (16, 4)
SIZES = [math.prod(shape) for shape in SHAPES]


def drawn(holders, elements: int) -> torch.Tensor:
    found = torch.full((elements,), -1.0)
    generator = torch.Generator().manual_seed(0)
    for place, numbers in holders.draw(generator, elements, 4):
        assert (found[place] == -1).all()
        found[place] = numbers
    return found


@pytest.mark.parametrize('world', [1, 2, 3, 8])
def test_an_element_gets_the_same_number_however_gradients_are_spread(world, monkeypatch):
    params = [torch.zeros(shape) for shape in SHAPES]
    whole = drawn(Alone(), sum(SIZES))
    assert whole.min() >= 0 and whole.unique().numel() == len(whole)
    numbers = [part.view(shape) for part, shape in zip(whole.split(SIZES), SHAPES)]

    def part(tensor, rank: int):
        return dict(enumerate(tensor.chunk(world))).get(rank, tensor[:0])

    for rank in range(world):
        before = {len(p): sum(len(part(p, i)) for i in range(rank)) for p in params}
        monkeypatch.setattr(processes, 'offsets_of', lambda p, before=before: [before[len(p)]])
        monkeypatch.setattr(processes, 'local', lambda tensor, rank=rank: part(tensor, rank))
        expected = torch.cat([part(tensor, rank).flatten() for tensor in numbers])
        assert torch.equal(drawn(Shards(params), len(expected)), expected)
        with pytest.raises(ValueError, match='elements of gradients are here'):
            drawn(Shards(params), len(expected) + 1)

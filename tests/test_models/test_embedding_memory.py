"""The queue of embeddings of earlier batches."""

import copy

import pytest
import torch
from conftest import joined
from mmengine.registry import DefaultScope

from allinone.models.embedding import CrossBatchMemory, TripletLoss
from allinone.training.snapshot import unchanged


def memory(size=5, channels=2, **options):
    return CrossBatchMemory(
        channels, loss=dict(type='TripletLoss', margin=0.3), size=size, **options
    )


def rows(*values):
    return torch.tensor([[float(value), 0.0] for value in values])


def batch(seed, count=4):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 2, generator=generator)
    return images, torch.randint(3, (count,), generator=generator)


def test_the_queue_wraps_around():
    queue = memory()
    assert queue(rows(1, 2, 3), torch.tensor([1, 2, 3])) == 0
    assert queue.count == 3 and queue.labels.tolist() == [1, 2, 3, 0, 0]
    queue(rows(4, 5, 6), torch.tensor([4, 5, 6]))
    assert queue.count == 6
    assert queue.labels.tolist() == [6, 2, 3, 4, 5]
    assert queue.embeddings[:, 0].tolist() == [6, 2, 3, 4, 5]
    # Of a batch that is longer than the queue the last ones are kept.
    queue(rows(*range(7, 14)), torch.arange(7, 14))
    assert sorted(queue.labels.tolist()) == [9, 10, 11, 12, 13] and queue.count == 13
    assert queue.embeddings[:, 0].tolist() == queue.labels.tolist()
    queue(rows(14), torch.tensor([14]))
    assert sorted(queue.labels.tolist()) == [10, 11, 12, 13, 14]


def test_a_batch_is_compared_with_earlier_ones_alone():
    queue = memory()
    queue(rows(0, 3, 5), torch.tensor([0, 0, 1]))
    images = rows(1, 6).requires_grad_()
    value = queue(images, torch.tensor([0, 1]))
    # 1: farthest positive 3, nearest negative 5: max(0, 2 - 4 + 0.3) = 0.
    # 6: farthest positive 5, nearest negative 3: max(0, 1 - 3 + 0.3) = 0.
    assert value == 0
    images = rows(4, 4).requires_grad_()
    value = memory_of(rows(0, 3, 5), [0, 0, 1])(images, torch.tensor([0, 1]))
    # Of identity 0: 4 - 1 + 0.3; of 1: 1 - 1 + 0.3
    assert value.item() == pytest.approx((3.3 + 0.3) / 2)
    value.backward()
    assert images.grad[:, 0].tolist() == pytest.approx([0.5 + 0.5, -0.5 - 0.5])


def memory_of(images, labels):
    queue = memory()
    queue(images, torch.tensor(labels))
    return queue


def test_the_inner_weight_counts():
    images, labels = rows(4, 4), torch.tensor([0, 1])
    once, twice = memory(), memory()
    twice.loss.weight = 2.0
    for queue in (once, twice):
        queue(rows(0, 3, 5), torch.tensor([0, 0, 1]))
    assert twice(images, labels) == 2 * once(images, labels) > 0


def test_a_resume_in_the_middle_of_the_queue_is_bit_equal():
    whole, resumed = memory(size=7), None
    values = []
    for step in range(6):
        if step == 3:
            assert 0 < whole.count % 7 and whole.count > 7  # Full, the next place in the middle
            resumed = memory(size=7)
            resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
        values.append(whole(*batch(step)))
        if resumed is not None:
            assert torch.equal(resumed(*batch(step)), values[-1])
    assert values[-1] > 0
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert set(whole.state_dict()) == {'embeddings', 'labels', 'count'}


def test_it_is_filled_by_training_steps_alone():
    queue = memory_of(rows(1, 2), [1, 2])
    before = copy.deepcopy(queue.state_dict())
    queue.eval()(*batch(0))
    with torch.no_grad():
        queue.train()(*batch(0))
    with unchanged(queue):  # As the dry run does
        queue(*batch(0))
        assert queue.count == 6
    for name, value in before.items():
        assert torch.equal(value, queue.state_dict()[name]), name


def test_the_queue_has_no_graph():
    queue = memory()
    images, labels = batch(0)
    for _ in range(2):
        images = images.detach().requires_grad_()
        queue(images, labels).backward()
    assert not queue.embeddings.requires_grad


def test_all_ranks_have_the_queue_of_all_batches(tmp_path):
    """In the order of the ranks, of which one has a smaller batch."""
    counts = (2, 3)

    def work(rank):
        torch.set_num_threads(1)
        queue = memory(size=7)
        for step in range(2):
            queue(*batch(10 * step + rank, counts[rank]))
        return queue.embeddings.tolist(), queue.labels.tolist(), int(queue.count)

    with joined(work, tmp_path) as (_, answers):
        found = answers()
    expected = memory(size=7)
    for step in range(2):
        parts = [batch(10 * step + rank, count) for rank, count in enumerate(counts)]
        expected(*map(torch.cat, zip(*parts)))
    assert found[0] == found[1]
    assert found[0] == (expected.embeddings.tolist(), expected.labels.tolist(), 10)


@pytest.mark.parametrize('scope', ['mmdet', 'mmpretrain'])
def test_its_loss_is_of_this_package_in_any_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        assert type(memory().loss) is TripletLoss

"""Registered metrics of retrieval, as an evaluator uses them."""

import logging

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement

from allinone.errors import ConfigError, DataError
from allinone.evaluation import RankMetrics, RecallAtK, VerificationMetrics
from allinone.evaluation.intervals import intervals
from allinone.evaluation.retrieval import rank_metrics, re_rank, recall_at_k
from allinone.evaluation.retrieval.re_ranking import LIMIT
from allinone.evaluation.run_statistics import (
    MetricStatistics,
    RunStatistics,
    read_statistics,
    write_statistics,
)
from allinone.registry import METRICS
from allinone.tasks.image_statistics import ImageMeans


def rows_of(count, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def samples(rows, identities, cameras=None, folder='images'):
    cameras = cameras or [None] * len(rows)
    found = []
    for number, (row, identity, camera) in enumerate(zip(rows, identities, cameras)):
        sample = BaseDataElement(
            metainfo=dict(img_path=f'{folder}/{number}.jpg', identity=identity, camera=camera)
        )
        # Metrics normalise what models predict.
        sample.pred_feature = torch.as_tensor(row) * (number + 1)
        found.append(sample)
    return found


def evaluate(metric, found):
    evaluator = Evaluator(metric)
    for start in range(0, len(found), 2):
        evaluator.process(found[start : start + 2])
    return evaluator.evaluate(len(found))


def percent(found, prefix='retrieval'):
    return {f'{prefix}/{name}': pytest.approx(100 * value) for name, value in found.items()}


QUERY, GALLERY = rows_of(5, 1), rows_of(12, 2)
QUERY_IDS, GALLERY_IDS = list('abcab'), list('abcdabcdabcd')
QUERY_CAMERAS, GALLERY_CAMERAS = list('01010'), list('000111222012')


def search(metric, query=QUERY, cameras=QUERY_CAMERAS, gallery_cameras=GALLERY_CAMERAS):
    gallery_cameras = gallery_cameras or [None] * len(GALLERY)
    metric.set_gallery(GALLERY, GALLERY_IDS, gallery_cameras, ['x'] * len(GALLERY))
    return evaluate(metric, samples(query, QUERY_IDS, cameras))


class Listed:
    """A data set that tells what is known of its images."""

    def __init__(self, identities, cameras=None, folder='images'):
        cameras = cameras or [None] * len(identities)
        self.infos = [
            dict(img_path=f'{folder}/{number}.jpg', identity=identity, camera=camera)
            for number, (identity, camera) in enumerate(zip(identities, cameras))
        ]

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, index):
        return self.infos[index]


# ---------------------------------------------------------------------------- query and gallery


def test_rank_metrics_leave_out_the_same_camera_where_there_are_cameras():
    distances = 1 - QUERY @ GALLERY.T
    plain = rank_metrics(distances, QUERY_IDS, GALLERY_IDS)
    across = rank_metrics(distances, QUERY_IDS, GALLERY_IDS, QUERY_CAMERAS, GALLERY_CAMERAS)
    assert plain != across
    assert search(RankMetrics()) == percent(across)
    assert search(RankMetrics(cameras=True)) == percent(across)
    assert search(RankMetrics(cameras=False)) == percent(plain)
    assert search(RankMetrics(), cameras=None, gallery_cameras=None) == percent(plain)


def test_its_values_are_named_before_they_are_known():
    metric = METRICS.build(dict(type='RankMetrics', ranks=(1, 20)))
    found = search(metric)
    assert {name.removeprefix('retrieval/') for name in found} == metric.names()
    assert metric.names() == {'rank1', 'rank20', 'mAP', 'mINP'}
    assert metric.needs_gallery and not RecallAtK.needs_gallery


@pytest.mark.parametrize('option', [True, dict(k1=4, k2=2)])
def test_re_ranked_distances_are_ranked(option):
    distances = re_rank(QUERY, GALLERY, **({} if option is True else option))
    expected = rank_metrics(
        distances, QUERY_IDS, GALLERY_IDS, QUERY_CAMERAS, GALLERY_CAMERAS, ranks=(2,)
    )
    assert search(RankMetrics(ranks=(2,), re_rank=option)) == percent(expected)


def test_bad_options_of_re_ranking_are_refused_at_once():
    with pytest.raises(ConfigError, match=r"re_rank of RankMetrics is \{'k3': 1\}"):
        RankMetrics(re_rank=dict(k3=1))
    with pytest.raises(ConfigError, match="re_rank of RankMetrics is 'yes'"):
        RankMetrics(re_rank='yes')
    with pytest.raises(ConfigError, match='re_rank.k2 is 0; give a whole number'):
        RankMetrics(re_rank=dict(k2=0))
    assert RankMetrics(re_rank=False).re_rank is None


@pytest.mark.parametrize('cameras', [None, True])
def test_some_without_a_camera_are_refused(cameras):
    lacking = [*QUERY_CAMERAS[:4], None]
    with pytest.raises(DataError, match='1 of 5 images of the query have no camera.*cameras=False'):
        search(RankMetrics(cameras=cameras), cameras=lacking)
    with pytest.raises(DataError, match='12 of 12 images of the gallery have no camera'):
        search(RankMetrics(cameras=cameras), gallery_cameras=None)
    assert search(RankMetrics(cameras=False), cameras=lacking)


def test_cameras_are_refused_where_none_has_one_but_they_are_needed():
    with pytest.raises(DataError, match='5 of 5 images of the query have no camera'):
        search(RankMetrics(cameras=True), cameras=None, gallery_cameras=None)


def test_sets_are_compared_before_anything_is_computed():
    query, gallery = Listed('ab', '01'), Listed('abc', '112')
    RankMetrics().check_gallery(query, gallery)
    with pytest.raises(DataError, match=r"share no identity \(2 and 1, such as 'a' and 'z'\)"):
        RankMetrics().check_gallery(query, Listed('z', '0'))
    with pytest.raises(DataError, match='3 of 3 images of the gallery have no camera'):
        RankMetrics().check_gallery(query, Listed('abc'))
    with pytest.raises(ConfigError, match="use type='allinone.IdentityDataset'"):
        RankMetrics().check_gallery(query, Listed(['a', None], '01'))
    with pytest.raises(DataError, match='^no query has an image of its identity .* another camera'):
        RankMetrics().check_gallery(query, Listed('abc', '012'))
    RankMetrics(cameras=False).check_gallery(query, Listed('abc', '012'))
    large = Listed('a' * LIMIT, '1' * LIMIT)
    RankMetrics().check_gallery(query, large)
    with pytest.raises(DataError, match='compares all 20,002 rows'):
        RankMetrics(re_rank=True).check_gallery(query, large)
    # Nothing is known of the images.
    RankMetrics().check_gallery(query, [1, 2])


def test_without_a_gallery_it_is_refused():
    with pytest.raises(ConfigError, match='has none; give its dataloader as references'):
        evaluate(RankMetrics(), samples(QUERY, QUERY_IDS))


@pytest.mark.parametrize('value', [float('nan'), float('inf'), 0.0])
def test_an_embedding_that_is_no_direction_is_refused_by_the_name_of_its_image(value):
    rows = QUERY.copy()
    rows[3] = value
    with pytest.raises(DataError, match='the embedding of images/3.jpg is not finite, or has only'):
        search(RankMetrics(), rows)


@pytest.fixture
def warnings(monkeypatch):
    """What metrics warn of."""
    found = []

    def keep(message, logger=None, level=logging.INFO):
        if level == logging.WARNING:
            found.append(message)

    monkeypatch.setattr('allinone.evaluation.retrieval.metrics.print_log', keep)
    return found


def test_without_a_match_values_are_nan_and_said(warnings):
    metric = RankMetrics()
    metric.set_gallery(GALLERY, ['z'] * 12, GALLERY_CAMERAS, ['x'] * 12)
    found = evaluate(metric, samples(QUERY, QUERY_IDS, QUERY_CAMERAS))
    assert len(found) == 5 and np.isnan(list(found.values())).all()
    assert ['no query has a match' in message for message in warnings] == [True]


# ---------------------------------------------------------------------------- one set


def test_recall_searches_the_set_itself():
    metric = METRICS.build(dict(type='RecallAtK', ks=(1, 3)))
    found = evaluate(metric, samples(GALLERY, [*GALLERY_IDS[:11], 'alone']))
    expected = recall_at_k(GALLERY, [*GALLERY_IDS[:11], 'alone'], ks=(1, 3))
    assert found == percent(expected) and set(expected) == metric.names()
    assert np.isnan(metric.image_values['recall1'][11])


def test_recall_needs_identities_with_two_images():
    with pytest.raises(DataError, match='none of the 3 identities has two images'):
        RecallAtK().check_dataset(Listed('abc'))
    RecallAtK().check_dataset(Listed('abca'))
    with pytest.raises(ConfigError, match='RecallAtK needs the identity of images/1.jpg'):
        evaluate(RecallAtK(), samples(QUERY[:2], ['a', None]))


# ---------------------------------------------------------------------------- intervals


@pytest.mark.parametrize('metric', [RankMetrics(), RecallAtK()])
def test_values_of_images_give_intervals(metric, tmp_path):
    ids, cameras = ['a', 'b', 'b', 'a', 'alone'], QUERY_CAMERAS
    if metric.needs_gallery:
        metric.set_gallery(GALLERY, GALLERY_IDS, GALLERY_CAMERAS, ['x'] * 12)
    found = evaluate(metric, samples(QUERY, ids, cameras))
    results = [dict(identity=identity) for identity in ids]
    images = [f'{number}.jpg' for number in range(5)]
    (statistics,) = ImageMeans.of_metric(metric, results, images)
    names = {name: f'retrieval/{name}' for name in metric.names()}
    once = statistics.metrics(np.ones((5, 1), int))
    assert {names[name]: pytest.approx(value[0]) for name, value in once.items()} == found
    # One image twice, one not at all, and that without a match ten times
    values = metric.image_values['mAP']
    several = statistics.metrics(np.array([[2, 1, 1, 0, 10]]).T)['mAP']
    assert several[0] == pytest.approx((2 * values[0] + values[1] + values[2]) / 4)
    alone = statistics.metrics(np.array([[0, 0, 0, 0, 3]]).T)
    assert np.isnan([value[0] for value in alone.values()]).all()

    path = str(tmp_path / 'run.statistics.npz')
    values = {f'reid/{name}': value for name, value in found.items()}
    part = MetricStatistics(statistics, names)
    write_statistics(path, RunStatistics(path, 'c.py', 'w.pth', {}, values, dict(reid=[part])))
    run = read_statistics(path)
    kept = run.tasks['reid'][0].statistics
    assert kept.labels().tolist() == ids
    assert np.array_equal(kept.metrics(np.ones((5, 1), int))['mAP'], once['mAP'])
    bounds = intervals(run, resamplings=200)
    assert set(bounds) == {f'reid/{name}' for name in found}
    mean, drawn = bounds['reid/retrieval/mAP'], metric.image_values['mAP'][:4]
    assert mean.value == found['retrieval/mAP'] and drawn.min() <= mean.low < mean.value
    assert mean.value < mean.high <= drawn.max()


# ---------------------------------------------------------------------------- pairs


ANGLES = dict(a0=0, a1=10, b0=90, b1=100, c0=180, c1=240)
PAIRS = [
    ('a0', 'a1', 1),
    ('a0', 'b0', 0),
    ('b0', 'b1', 1),
    ('b1', 'c0', 0),
    ('c0', 'c1', 1),
    ('a1', 'c1', 0),
]


def pair_file(folder, pairs, folds=True):
    lines = [f'{a}.jpg {b}.jpg {same}' for a, b, same in pairs]
    if folds:
        lines = [f'{line} {number // 2}' for number, line in enumerate(lines)]
    (folder / 'pairs.txt').write_text('# pairs\n' + '\n'.join(lines) + '\n')
    return str(folder / 'pairs.txt')


def samples_in(folder, names=ANGLES):
    found = []
    for name in names:
        angle = np.radians(ANGLES[name])
        sample = BaseDataElement(metainfo=dict(img_path=f'{folder}/{name}.jpg'))
        sample.pred_feature = torch.tensor([np.cos(angle), np.sin(angle)])
        found.append(sample)
    return found


def test_pairs_by_hand(tmp_path, warnings):
    path = pair_file(tmp_path, PAIRS)
    metric = METRICS.build(dict(type='VerificationMetrics', pairs=path, fars=(0.1, 0.5, 1)))
    found = evaluate(metric, samples_in(tmp_path))
    # Degrees between the images: 10+ 90- | 10+ 80- | 60+ 130-. The thresholds 60, 60 and 10 are
    # right for both, both and one.
    assert found == {
        'retrieval/accuracy': pytest.approx(100 * np.mean([1, 1, 0.5])),
        'retrieval/accuracy_std': pytest.approx(100 * np.std([1, 1, 0.5])),
        'retrieval/tar_at_far_0.1': pytest.approx(float('nan'), nan_ok=True),
        'retrieval/tar_at_far_0.5': 100,
        'retrieval/tar_at_far_1': 100,
        'retrieval/different_pairs': 3,
    }
    assert {name.removeprefix('retrieval/') for name in found} == metric.names()
    assert ['3 pairs of different identities cannot tell' in text for text in warnings] == [True]
    assert 'at false accept rates of [0.1], which is NaN' in warnings[0]


def test_pairs_without_folds_are_ten_parts_in_their_order(tmp_path):
    pairs = [PAIRS[number] for number in (0, 1, 2, 3) for _ in range(5)]
    found = evaluate(VerificationMetrics(pair_file(tmp_path, pairs, False)), samples_in(tmp_path))
    assert found['retrieval/accuracy'] == 100 and found['retrieval/accuracy_std'] == 0


def test_images_of_pairs_may_lie_elsewhere(tmp_path):
    path = pair_file(tmp_path, PAIRS)
    metric = VerificationMetrics(path, data_root='elsewhere', fars=())
    assert evaluate(metric, samples_in('elsewhere'))['retrieval/different_pairs'] == 3


def test_a_pair_with_a_missing_image_is_refused_by_its_line(tmp_path):
    path = pair_file(tmp_path, PAIRS)

    class Images(Listed):
        def __init__(self, names):
            self.infos = [dict(img_path=str(tmp_path / f'{name}.jpg')) for name in names]

    metric = VerificationMetrics(path)
    metric.check_dataset(Images(ANGLES))
    with pytest.raises(DataError, match=rf'{path}, line 5 names .*/c0.jpg, which does not exist'):
        metric.check_dataset(Images(['a0', 'a1', 'b0', 'b1', 'c1']))
    (tmp_path / 'c0.jpg').touch()
    with pytest.raises(DataError, match='line 5 names .*/c0.jpg, which is not in the data set'):
        metric.check_dataset(Images(['a0', 'a1', 'b0', 'b1', 'c1']))


@pytest.mark.parametrize('names', [['a0', 'b0'], ['a0', 'a1'], ['c0']])
def test_too_few_images_give_nan_and_say_so(tmp_path, warnings, names):
    metric = VerificationMetrics(pair_file(tmp_path, PAIRS))
    found = evaluate(metric, samples_in(tmp_path, names))
    assert np.isnan(found['retrieval/accuracy']) and 'are too few' in warnings[0]


def test_bad_lists_of_pairs_are_refused(tmp_path):
    with pytest.raises(DataError, match='missing.txt cannot be read as a list of pairs'):
        VerificationMetrics(str(tmp_path / 'missing.txt'))
    with pytest.raises(DataError, match='lists no pair'):
        VerificationMetrics(pair_file(tmp_path, []))
    with pytest.raises(DataError, match="line 2 is 'a.jpg b.jpg 2'"):
        VerificationMetrics(pair_file(tmp_path, [('a', 'b', 2)], False))
    with pytest.raises(ConfigError, match=r'fars\[0\] is 2'):
        VerificationMetrics(pair_file(tmp_path, PAIRS), fars=[2])

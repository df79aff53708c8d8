"""Galleries: exact search, changes that are atomic, makers, thresholds and contact sheets."""

import json
import os

import cv2
import numpy as np
import pytest
import torch
from identity_images import write_identities

from allinone.errors import ConfigError, DataError
from allinone.inference.gallery import Gallery, nearest, sheet, store
from allinone.inference.gallery.calibration import calibrate
from allinone.inference.gallery.embedding import Embedder
from allinone.inference.gallery.entries import Entry, find_entries, read_metadata, with_metadata
from allinone.inference.gallery.maker import maker_of, require_same_maker
from allinone.inference.gallery.matches import Match, Matched, find_matches
from allinone.inference.gallery.pairs import read_pairs
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.model_source import find_model
from allinone.io.atomic import WriteError

MAKER = dict(task='reid', weights_sha256='a', config_sha256='b', preprocessing_sha256='c')


def unit(rows, dimension, seed=0):
    found = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def named(*names):
    return [dict(image=f'/images/{name}.jpg', identity=name[0]) for name in names]


@pytest.fixture
def small(tmp_path):
    """Three rows: of a twice, of b once."""
    embeddings = [[1, 0], [0.8, 0.6], [0, 1]]
    return Gallery.build(tmp_path / 'index', MAKER, embeddings, named('a1', 'a2', 'b1'))


# ---------------------------------------------------------------------- search


def by_definition(queries, rows, top):
    scores = (queries.astype(np.float64) @ rows.astype(np.float64).T).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind='stable')[:, :top]
    return np.take_along_axis(scores, order, 1), order


@pytest.mark.parametrize('top', [1, 7, 1000])
def test_blocks_find_what_the_whole_matrix_has(monkeypatch, top):
    monkeypatch.setattr(nearest, 'ROWS', 64)
    monkeypatch.setattr(nearest, 'QUERIES', 5)
    queries, rows = unit(13, 16), unit(300, 16, seed=1)
    scores, found = nearest.nearest(queries, rows, top)
    expected = by_definition(queries, rows, top)
    assert found.shape == (13, min(top, 300)) and scores.dtype == np.float32
    assert np.array_equal(found, expected[1])
    assert np.abs(scores - expected[0]).max() < 1e-6


def test_equal_rows_stand_in_their_order_whatever_their_block(monkeypatch):
    monkeypatch.setattr(nearest, 'ROWS', 7)
    row = unit(1, 33)
    rows = np.concatenate([unit(10, 33, 1), row, unit(9, 33, 2), row, row, -row])
    scores, found = nearest.nearest(row, rows, 4)
    assert found[0, :3].tolist() == [10, 20, 21] and len(set(scores[0, :3].tolist())) == 1
    # Of negative scores, too: the last row has the lowest.
    assert nearest.nearest(row, rows, 100)[1][0, -1] == 22
    assert nearest.nearest(-row, rows, 100)[1][0, -3:].tolist() == [10, 20, 21]


# ---------------------------------------------------------------------- the index


def test_a_gallery_is_read_as_it_was_written(small):
    again = Gallery.open(small.path)
    assert again.rows == named('a1', 'a2', 'b1') and again.maker == MAKER
    assert again.embeddings.dtype == np.float32 and isinstance(again.embeddings, np.memmap)
    scores, found = again.search([[0, 2]], top=2)
    assert found.tolist() == [[2, 1]] and scores == pytest.approx(np.array([[1, 0.6]]))
    assert sorted(os.listdir(small.path)) == [
        'embeddings.000001.npy',
        'index.json',
        'rows.000001.jsonl',
    ]


def test_rows_are_added_and_removed(small):
    small.add(
        np.array([[0, -3.0]]), [dict(image='/images/c1.jpg', identity='c', bbox=[1, 2, 3, 4])]
    )
    assert len(small) == 4 and small.embeddings[3].tolist() == [0, -1]
    assert small.remove(identities=['a']) == 2
    assert [row['image'] for row in Gallery.open(small.path).rows] == [
        '/images/b1.jpg',
        '/images/c1.jpg',
    ]
    assert small.remove(images=['*/b*', 'c1.jpg']) == 2
    assert len(Gallery.open(small.path)) == 0
    small.add([[1, 0]], named('d1'))
    assert small.search([[1, 0]])[1].tolist() == [[0]]
    assert len(os.listdir(small.path)) == 3


def test_what_fits_no_row_removes_nothing(small):
    with pytest.raises(DataError, match="no row of the identity 'z', and nothing is removed"):
        small.remove(identities=['a', 'z'])
    with pytest.raises(DataError, match="no row of an image '1.jpg'"):
        small.remove(images=['1.jpg'])
    assert len(Gallery.open(small.path)) == 3


@pytest.mark.parametrize('failing', ['embeddings.000002.npy', 'rows.000002.jsonl', 'index.json'])
def test_an_interrupted_change_leaves_the_old_gallery(small, monkeypatch, failing):
    write = store.write_durably

    def dies(path, content):
        if os.path.basename(path) == failing:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(store, 'write_durably', dies)
    with pytest.raises(KeyboardInterrupt):
        small.add([[1, 1]], named('c1'))
    monkeypatch.undo()
    again = Gallery.open(small.path)
    assert again.rows == named('a1', 'a2', 'b1') and len(again.embeddings) == 3
    again.add([[1, 1]], named('c1'))
    assert len(Gallery.open(small.path)) == 4
    assert len(os.listdir(small.path)) == 3  # What the interrupted one left is gone.


def test_a_full_disk_leaves_the_old_gallery(small):
    from conftest import files_of_at_most

    with files_of_at_most(10_000), pytest.raises(WriteError, match='it needs .* bytes'):
        small.add(unit(2000, 2), [dict(image='x')] * 2000)
    assert len(Gallery.open(small.path)) == 3


def test_a_reader_is_not_disturbed_by_a_change(small):
    reader = Gallery.open(small.path)
    small.remove(identities=['a'])
    assert reader.search([[1, 0]], 1)[1].tolist() == [[0]] and len(reader) == 3


@pytest.mark.parametrize(
    'embedding, words',
    [
        ([np.nan, 1], 'the embedding of /images/c1.jpg has NaN'),
        ([np.inf, 1], 'the embedding of /images/c1.jpg has NaN or infinite'),
        ([0, 0], 'the embedding of /images/c1.jpg has only zeros'),
        ([1, 2, 3], 'the embeddings have 3 numbers, but those of .* have 2'),
    ],
)
def test_embeddings_that_cannot_be_compared_are_refused(small, embedding, words):
    with pytest.raises(DataError, match=words):
        small.add([embedding], named('c1'))
    assert len(Gallery.open(small.path)) == 3


def test_what_is_no_gallery_is_refused(small, tmp_path):
    with pytest.raises(DataError, match='has no gallery'):
        Gallery.open(tmp_path)
    with pytest.raises(ConfigError, match='has a gallery already; give a new folder, or add'):
        Gallery.build(small.path, MAKER, [[1, 0]], named('a1'))
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/notes.txt').write_text('mine')
    with pytest.raises(ConfigError, match='has files already'):
        Gallery.build(tmp_path / 'other', MAKER, [[1, 0]], named('a1'))
    head = json.loads((tmp_path / 'index/index.json').read_text())
    (tmp_path / 'index/index.json').write_text(json.dumps(dict(head, format=9)))
    with pytest.raises(DataError, match='has the format 9, and this version reads 1'):
        Gallery.open(small.path)
    (tmp_path / 'index/index.json').write_text(json.dumps(dict(head, rows_number=4)))
    with pytest.raises(DataError, match='is damaged'):
        Gallery.open(small.path)
    (tmp_path / 'index/index.json').write_text(json.dumps(dict(head, rows='rows.000009.jsonl')))
    with pytest.raises(DataError, match='rows.000009.jsonl is missing'):
        Gallery.open(small.path)


# ---------------------------------------------------------------------- thresholds


def test_a_threshold_by_hand():
    others = [0.9, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -0.1, -0.2]
    found = calibrate(np.array([*others, 0.95, 0.6, 0.45]), np.array([0] * 10 + [1] * 3), 0.1)
    # One of ten may match: all above the second, 0.5.
    assert found['threshold'] == np.nextafter(np.float32(0.5), np.float32(1))
    assert found['false_matches'] == 1 and found['different_pairs'] == 10
    assert found['same_pairs'] == 3 and found['true_match_rate'] == pytest.approx(2 / 3)
    # Two may, but of the equal ones either both match or none.
    assert calibrate(np.array(others), np.zeros(10), 0.2)['false_matches'] == 1
    assert calibrate(np.array(others), np.zeros(10), 0.3)['false_matches'] == 3
    assert calibrate(np.array(others), np.zeros(10), 0.2)['true_match_rate'] is None


def test_the_rate_holds_on_pairs_that_were_not_seen():
    def scores(seed):
        # Of identities with different spread, as of a real network
        return np.random.default_rng(seed).beta(2, 5, 40_000).astype(np.float32)

    for rate in (0.001, 0.01, 0.1):
        threshold = calibrate(scores(1), np.zeros(40_000), rate)['threshold']
        found = float((scores(2) >= threshold).mean())
        # Both sets have binomial noise.
        assert abs(found - rate) < 4 * (2 * rate / 40_000) ** 0.5


def test_the_true_match_rate_is_that_of_the_evaluation():
    retrieval = pytest.importorskip('allinone.evaluation.retrieval')
    rng = np.random.default_rng(0)
    scores, same = rng.normal(size=500).round(1), rng.random(500) < 0.3
    for rate in (0.01, 0.05, 0.5):
        expected = retrieval.tar_at_far(scores.astype(np.float32), same, [rate])[0]
        assert calibrate(scores, same, rate)['true_match_rate'] == pytest.approx(expected)


def test_pairs_that_cannot_tell_a_rate_are_refused():
    with pytest.raises(
        DataError, match='9 pairs .* cannot tell a false-match rate of 0.1, which needs 10'
    ):
        calibrate(np.zeros(10), np.array([1] + [0] * 9), 0.1)
    with pytest.raises(ConfigError, match='the false-match rate is 1; it must be'):
        calibrate(np.zeros(10), np.zeros(10), 1)


def test_a_threshold_is_kept_through_changes(small):
    small.set_calibration(calibrate(np.linspace(0, 1, 11), np.zeros(11), 0.1))
    small.add([[1, 1]], named('c1'))
    again = Gallery.open(small.path)
    assert again.threshold(0.1) == pytest.approx(0.9, abs=1e-6)
    with pytest.raises(ConfigError, match='for the false-match rates 0.1, but none for 0.01; run'):
        again.threshold(0.01)


def test_pairs_are_read_and_checked(tmp_path):
    for name in ('a b.jpg', 'c.jpg'):
        (tmp_path / name).touch()
    (tmp_path / 'pairs.txt').write_text('# pairs\na b.jpg\tc.jpg\t1\t3\n\nc.jpg c.jpg 0\r\n')
    found = read_pairs(str(tmp_path / 'pairs.txt'))
    assert found.same == [True, False]
    assert found.images == [str(tmp_path / 'a b.jpg'), str(tmp_path / 'c.jpg')]
    (tmp_path / 'gone.txt').write_text('c.jpg c.jpg 1\nc.jpg d.jpg 0\n')
    with pytest.raises(DataError, match='line 2 names .*d.jpg, which does not exist'):
        read_pairs(str(tmp_path / 'gone.txt'))
    (tmp_path / 'bad.txt').write_text('c.jpg c.jpg yes\n')
    with pytest.raises(DataError, match="line 1 is 'c.jpg c.jpg yes'; it must be"):
        read_pairs(str(tmp_path / 'bad.txt'))


# ---------------------------------------------------------------------- entries and matches


def test_images_are_found_in_lists_and_folders(tmp_path):
    folder = write_identities(tmp_path / 'images', [1, 2], [0])
    notes, errors = [], []
    (folder / 'empty').mkdir()
    found = list(find_entries(str(folder), notes.append, errors.append))
    assert [entry.row for entry in found] == [
        dict(image=str(folder / 'id01/0.png'), identity='id01'),
        dict(image=str(folder / 'id02/0.png'), identity='id02'),
    ]
    assert len(notes) == 1 and 'empty' in notes[0]
    (folder / 'list.txt').write_text('id01/0.png x 3\nid02/0.png y\n')
    listed = [
        entry.row for entry in find_entries(str(folder / 'list.txt'), notes.append, errors.append)
    ]
    assert listed == [
        dict(image=str(folder / 'id01/0.png'), identity='x', camera='3'),
        dict(image=str(folder / 'id02/0.png'), identity='y'),
    ]
    plain = [entry.row for entry in find_entries(str(folder / 'id01'), notes.append, errors.append)]
    assert plain == [dict(image=str(folder / 'id01/0.png'))]
    assert not errors
    assert not list(find_entries(str(folder / 'empty'), notes.append, errors.append))
    assert 'no folders with images' in str(errors[0])


def test_metadata_goes_to_its_image(tmp_path):
    lines = '{"image": "a.jpg", "place": "bridge"}\n\n{"image": "z.jpg", "place": "road"}\n'
    (tmp_path / 'more.jsonl').write_text(lines)
    entries, notes = [Entry(dict(image=str(tmp_path / 'a.jpg'), identity='a'))], []
    (found,) = with_metadata(entries, read_metadata(str(tmp_path / 'more.jsonl')), notes.append)
    assert found.row == dict(image=str(tmp_path / 'a.jpg'), identity='a', place='bridge')
    assert '1 images of --metadata are not among the images' in notes[0]
    (tmp_path / 'bad.jsonl').write_text('{"image": "a.jpg"}\n{"path": 3}\n')
    with pytest.raises(DataError, match='bad.jsonl, line 2 is'):
        read_metadata(str(tmp_path / 'bad.jsonl'))


def test_matches_are_right_wrong_or_unknown(small):
    small.add([[0.6, 0.8]], [dict(image='/images/x.jpg')])
    queries = [Entry(dict(image='/images/a1.jpg', identity='a')), Entry(dict(image='q'))]
    first, second = find_matches(small, queries, [[1, 0], [0, 1]], 3)
    assert [match.right for match in first.matches] == [True, True, None]
    assert [match.row['image'] for match in first.matches][0] == '/images/a1.jpg'
    assert [match.right for match in second.matches] == [None] * 3
    without, _ = find_matches(small, queries, [[1, 0], [0, 1]], 3, leave_out_own=True)
    assert [match.number for match in without.matches] == [1, 3, 2]
    assert [match.right for match in without.matches] == [True, None, False]
    above, none = find_matches(small, queries, [[1, 0], [-1, 0]], 3, threshold=0.7)
    assert [match.number for match in above.matches] == [0, 1] and none.matches == []
    line = json.loads(json.dumps(above.record()))
    assert line['matches'][1] == dict(score=pytest.approx(0.8), right=True, row=small.rows[1])


def test_the_sheet_shows_right_and_wrong_by_colour(tmp_path):
    folder = write_identities(tmp_path, [1, 2], [0])
    images = [str(folder / f'id0{number}/0.png') for number in (1, 2)]
    query = dict(image=images[0], identity='<b>1</b>')
    rows = [dict(query), dict(image=images[1], identity='2'), dict(image='/gone.png')]
    matches = [Match(n, 0.9 - n / 10, row, (True, False, None)[n]) for n, row in enumerate(rows)]
    found = [Matched(query, matches), Matched(query, [])]
    drawn = sheet.draw_sheet(found, 10)
    step = sheet.SIDE + sheet.GAP
    for place, colour in enumerate((sheet.QUERY, sheet.RIGHT, sheet.WRONG, sheet.UNKNOWN)):
        left = sheet.GAP * (1 + (place > 0)) + place * step
        frame = drawn[sheet.GAP : sheet.GAP + sheet.SIDE, left : left + sheet.SIDE]
        assert (frame[:2] == colour).all() and (frame[:, -2:] == colour).all()
        inner = frame[8:-8, 8:-8]
        if place < 3:
            image = cv2.imread(images[place == 2])[..., ::-1]
            assert np.abs(inner.mean((0, 1)) - image.mean((0, 1))).max() < 6
    text = sheet.page(found, 10, 'A & B')
    assert text.count('<figure class="right"') == text.count('<figure class="wrong"') == 1
    assert text.count('<figure class="query"') == 2 and text.count('no match') == 1
    assert '<b>1</b>' not in text and '&lt;b&gt;1' in text and 'A &amp; B' in text
    assert text.count('data:image/jpeg') == 4 and text.count('no image') == 1


# ---------------------------------------------------------------------- the network


@pytest.fixture(scope='module')
def embedder(embedding_model):
    return Embedder(find_model(embedding_model[0]), None, 'cpu')


def test_an_image_is_embedded_as_in_a_test(embedder, embedding_model):
    from mmengine.runner import Runner

    source = find_model(embedding_model[0])
    loader = Runner.build_dataloader(source.cfg.test_dataloader.reid)
    model = embedder._inferencer.model.tasks.reid
    with torch.no_grad():
        samples = [sample for batch in loader for sample in model.test_step(batch)]
    expected = torch.stack([sample.pred_feature for sample in samples])
    expected /= expected.norm(dim=1, keepdim=True)
    paths = [sample.img_path for sample in samples]
    found = np.stack([vector for _, vector in embedder.embed(paths, pytest.fail)])
    assert len(paths) == 48 and np.abs(found - expected.numpy()).max() < 1e-5


def test_the_maker_is_that_of_weights_pipeline_and_task(embedding_model, tmp_path):
    checkpoint, _ = embedding_model
    content = torch.load(checkpoint, map_location='cpu', weights_only=False)

    def made(change=None, **options):
        weights = tmp_path / 'changed.pth'
        state = {name: value.clone() for name, value in content['state_dict'].items()}
        if change:
            state[change].view(-1)[0] += 1
        # A copy without the optimizer is another file.
        torch.save(dict(meta=content['meta'], state_dict=state), weights)
        options = [f'{key}={value}' for key, value in options.items()]
        source = find_model(weights, None, options)
        return maker_of(AllInOneInferencer(source, None, 'cpu', on_note=lambda note: None), 'reid')

    known = made()
    alone = Embedder(find_model(checkpoint), 'reid', 'cpu').maker
    assert alone == known
    names = content['state_dict']
    head = next(name for name in names if name.startswith('tasks.reid.head') and 'weight' in name)
    boxes = next(name for name in names if name.startswith('tasks.det.bbox_head'))
    first = next(name for name in names if name.startswith('backbone.'))
    assert made(boxes) == known
    for name in (head, first):
        with pytest.raises(ConfigError, match='has embeddings of the weights') as refused:
            require_same_maker('index', known, 'other.pth', made(name))
        for digest in (known['weights_sha256'], made(name)['weights_sha256']):
            assert digest in str(refused.value)
    key = 'test_dataloader.reid.dataset.pipeline.1.scale'
    other = made(**{key: '(32,32)'})
    with pytest.raises(ConfigError, match='of the test pipeline .* cannot be compared'):
        require_same_maker('index', known, 'other.pth', other)
    assert other['weights_sha256'] == known['weights_sha256']


def test_a_task_that_does_not_embed_makes_no_gallery(embedding_model):
    with pytest.raises(ConfigError, match="task is 'det', which does not embed; .* \\['reid'\\]"):
        Embedder(find_model(embedding_model[0]), 'det', 'cpu')


# ---------------------------------------------------------------------- boxes


@pytest.fixture(scope='module')
def street(toy_root):
    return sorted((toy_root / 'toy/seg/images/val').iterdir())


@pytest.fixture(scope='module')
def joint(embedding_model):
    return AllInOneInferencer(embedding_model[0], device='cpu', on_note=lambda note: None)


def test_a_box_has_the_embedding_of_its_crop(joint, embedder, street, tmp_path):
    from allinone.inference.crops import _crops
    from allinone.inference.results import Result

    (record,) = joint(street[0], tasks='det', embed_boxes='reid')
    assert record['det'] and all(set(box['reid']) == {'embedding'} for box in record['det'])
    image = cv2.imread(str(street[0]))
    boxes = np.array([box['bbox'] for box in record['det']], np.float32)
    for number, crop in enumerate(_crops(image, boxes)):
        cv2.imwrite(str(tmp_path / f'{number}.png'), crop)
    paths = [str(tmp_path / f'{number}.png') for number in range(len(boxes))]
    expected = np.stack([found for _, found in embedder.embed(paths, pytest.fail)])
    record = json.loads(json.dumps(record))
    result = Result(record)
    assert result['det'].embeddings.dtype == np.float32
    assert np.abs(result['det'].embeddings - expected).max() < 1e-5
    assert 'reid' not in result['det'].rows()[0]
    (plain,) = joint(street[0], tasks='det')
    assert Result(plain)['det'].embeddings is None
    assert [box['bbox'] for box in plain['det']] == [box['bbox'] for box in record['det']]


def test_the_drawing_of_embedded_boxes_is_that_of_boxes(joint, street):
    options = dict(tasks='det', return_vis=True, score_thr=0)
    _, (plain,) = joint(street[0], **options)
    _, (drawing,) = joint(street[0], embed_boxes='reid', **options)
    assert (plain == drawing).all()


def test_boxes_are_not_embedded_by_what_does_not_embed(joint, street):
    with pytest.raises(ConfigError, match="embed_boxes is 'det', which does not embed; name a ret"):
        joint(street[0], embed_boxes='det')
    with pytest.raises(ConfigError, match="embed_boxes is 'reid', but none of .* detects"):
        joint(street[0], tasks='reid', embed_boxes='reid')
    with pytest.raises(ConfigError, match="classify_boxes is 'reid', which does not classify"):
        joint(street[0], classify_boxes='reid')

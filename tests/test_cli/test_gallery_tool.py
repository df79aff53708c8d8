"""tools/gallery.py: from images or boxes to an index, matches and a contact sheet."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import run_tool
from identity_images import write_identities

from allinone.inference.gallery import Gallery


@pytest.fixture
def tool(capsys):
    """Runs the tool; its exit status and what it wrote to stdout and stderr."""

    def run(command, *args):
        device = [] if command == 'remove' else ['--device', 'cpu']
        status = run_tool('gallery', command, *args, *device)
        found = capsys.readouterr()
        return status, found.out, found.err

    return run


@pytest.fixture(scope='module')
def built(embedding_model, tmp_path_factory):
    """An index of two new images of each of 12 identities. Do not change it."""
    checkpoint, _ = embedding_model
    root = tmp_path_factory.mktemp('gallery')
    images = write_identities(root / 'images', range(12), [10, 11])
    index = root / 'index'
    assert run_tool('gallery', 'build', checkpoint, index, '--data', images, '--device', 'cpu') == 0
    return index


@pytest.fixture
def index(built, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(built, tmp_path / 'index'))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_index_tells_what_made_it(built, embedding_model):
    head = json.loads((built / 'index.json').read_text())
    assert head['rows_number'] == 24 and head['dimension'] == 32
    maker = head['maker']
    assert maker['task'] == 'reid' and maker['checkpoint'] == str(embedding_model[0])
    assert all(
        len(maker[f'{part}_sha256']) == 64 for part in ('weights', 'config', 'preprocessing')
    )
    rows = Gallery.open(built).rows
    assert {row['identity'] for row in rows} == {f'id{number:02d}' for number in range(12)}
    assert all(Path(row['image']).is_file() for row in rows)


def test_queries_find_their_identities(built, tool, tmp_path):
    queries = write_identities(tmp_path / 'queries', range(12), [20])
    status, out, _ = tool('search', built, queries, '--out', tmp_path / 'out', '--top', 5)
    assert status == 0
    found = lines_of(tmp_path / 'out/matches.jsonl')
    assert [line['query']['identity'] for line in found] == [f'id{n:02d}' for n in range(12)]
    assert all(len(line['matches']) == 5 for line in found)
    for line in found:
        scores = [match['score'] for match in line['matches']]
        assert scores == sorted(scores, reverse=True) and scores[0] <= 1 + 1e-6
        for match in line['matches']:
            assert match['right'] == (match['row']['identity'] == line['query']['identity'])
    right = sum(line['matches'][0]['right'] for line in found)
    assert right >= 10
    assert f'12 queries have 60 matches. The first match is right for {right} of 12.' in out
    sheet = cv2.imread(str(tmp_path / 'out/sheet.png'))
    assert sheet.shape[0] > 12 * 128 and sheet.shape[1] > 6 * 128
    page = (tmp_path / 'out/index.html').read_text()
    assert page.count('<figure class="query"') == 12
    assert page.count('<figure class="right"') == sum(
        match['right'] for line in found for match in line['matches']
    )


def test_images_of_the_index_find_themselves_unless_left_out(built, tool, tmp_path):
    image = Gallery.open(built).rows[6]['image']
    assert tool('search', built, image, '--out', tmp_path / 'a', '--top', 1)[0] == 0
    (line,) = lines_of(tmp_path / 'a/matches.jsonl')
    assert line['matches'][0]['row']['image'] == image
    assert line['matches'][0]['score'] == pytest.approx(1, abs=1e-6)
    assert line['matches'][0]['right'] is None  # A single file has no identity.
    args = ('--out', tmp_path / 'b', '--top', 23, '--leave-out-own')
    assert tool('search', built, image, *args)[0] == 0
    (line,) = lines_of(tmp_path / 'b/matches.jsonl')
    assert len({match['row']['image'] for match in line['matches']} - {image}) == 23


def test_rows_are_added_once_and_removed(index, tool, tmp_path):
    images = write_identities(tmp_path / 'more', [1, 30], [10])
    (images / 'list.txt').write_text('id01/10.png id01 3\nid30/10.png new\n')
    (images / 'about.jsonl').write_text('{"image": "id30/10.png", "place": "bridge"}\n')
    args = ('--data', images / 'list.txt', '--metadata', images / 'about.jsonl')
    status, out, _ = tool('add', index, *args)
    assert status == 0 and '2 rows added' in out and '26 now' in out
    assert Gallery.open(index).rows[-1] == dict(
        image=str(images / 'id30/10.png'), identity='new', place='bridge'
    )
    status, out, error = tool('add', index, *args)
    assert status == 0 and '0 rows added' in out
    assert '2 images or boxes are there already' in error
    status, out, _ = tool('remove', index, '--identity', 'new', '--image', 'more/id01/*')
    assert status == 0 and '2 rows removed' in out and '24 now' in out
    status, _, error = tool('remove', index, '--identity', 'nobody')
    assert status == 2 and "no row of the identity 'nobody'" in error
    assert tool('remove', index)[0] == 2


def test_images_that_cannot_be_read_are_named_and_skipped(index, tool, tmp_path):
    images = write_identities(tmp_path / 'more', [30, 31], [0])
    (images / 'id30/0.png').write_bytes(b'no image')
    status, out, error = tool('add', index, '--data', images)
    assert status == 1 and '1 rows added' in out and 'id30/0.png' in error
    shutil.rmtree(images / 'id31')
    status, _, error = tool('add', index, '--data', images)
    assert status == 2 and 'none of the images could be embedded' in error
    assert len(Gallery.open(index)) == 25


def test_a_data_set_of_the_config_is_taken_by_its_key(embedding_model, tool, tmp_path):
    checkpoint, folder = embedding_model
    status, out, _ = tool('build', checkpoint, tmp_path / 'i', '--data', 'test_dataloader.reid')
    assert status == 0 and '48 rows of 32 numbers' in out
    row = Gallery.open(tmp_path / 'i').rows[4]
    assert row == dict(image=str(folder / 'id01/0.png'), identity='id01')
    status, _, error = tool('build', checkpoint, tmp_path / 'j', '--data', 'test_dataloader.cls')
    assert status == 2 and 'test_dataloader.cls' in error and not (tmp_path / 'j').exists()


def test_an_index_of_another_checkpoint_is_refused(index, embedding_model, tool, tmp_path):
    content = torch.load(embedding_model[0], map_location='cpu', weights_only=False)
    weight = content['state_dict']['tasks.reid.head.fc_out.weight']
    weight[0, 0] += 1
    torch.save(content, tmp_path / 'other.pth')
    queries = write_identities(tmp_path / 'queries', [1], [0])
    args = (index, queries, '--out', tmp_path / 'out')
    status, _, error = tool('search', *args, '--checkpoint', tmp_path / 'other.pth')
    known = Gallery.open(index).maker['weights_sha256']
    assert status == 2 and f'of the weights {known}, but those of' in error
    assert not (tmp_path / 'out').exists()
    # Where the checkpoint has gone, --checkpoint names its new place; a moved one is the same.
    head = json.loads((index / 'index.json').read_text())
    head['maker']['checkpoint'] = '/gone/iter_12.pth'
    (index / 'index.json').write_text(json.dumps(head))
    status, _, error = tool('search', *args)
    assert status == 2 and 'is not there any more; name it with --checkpoint' in error
    assert tool('search', *args, '--checkpoint', embedding_model[0])[0] == 0


def test_a_calibrated_threshold_limits_the_matches(index, tool, tmp_path):
    images = write_identities(tmp_path, range(12), [30, 31])
    names = [(number, image) for number in range(12) for image in (30, 31)]
    pairs = [(a, b) for place, a in enumerate(names) for b in names[:place]]
    (images / 'pairs.txt').write_text(
        ''.join(f'id{a:02d}/{i}.png id{b:02d}/{j}.png {int(a == b)}\n' for (a, i), (b, j) in pairs)
    )
    args = (index, images / 'id01', '--out', tmp_path / 'out', '--top', 24)
    status, _, error = tool('search', *args, '--false-match-rate', 0.01)
    assert status == 2 and 'run tools/gallery.py calibrate' in error
    status, out, _ = tool('calibrate', index, images / 'pairs.txt', '--false-match-rate', 0.01)
    assert status == 0 and '2 of 264 pairs of different identities match' in out
    assert '% of 12 of one' in out
    threshold = Gallery.open(index).threshold(0.01)
    assert tool('search', *args, '--false-match-rate', 0.01)[0] == 0
    found = lines_of(tmp_path / 'out/matches.jsonl')
    assert tool('search', *args, '--threshold', threshold)[0] == 0
    assert lines_of(tmp_path / 'out/matches.jsonl') == found
    assert 0 < sum(len(line['matches']) for line in found) < 24
    assert all(match['score'] >= threshold for line in found for match in line['matches'])
    status, _, error = tool('calibrate', index, images / 'pairs.txt')
    assert status == 2 and '264 pairs' in error and 'which needs 1,000' in error


def test_boxes_of_one_checkpoint_are_detected_embedded_and_searched(
    embedding_model, toy_root, tool, tmp_path, capsys
):
    checkpoint, _ = embedding_model
    images = sorted(map(str, (toy_root / 'toy/seg/images/val').iterdir()))[:3]
    for name, chosen in dict(known=images[:2], asked=images[1:]).items():
        args = ('--tasks', 'det', '--embed-boxes', 'reid', '--device', 'cpu')
        assert run_tool('infer', checkpoint, *chosen, '--out-dir', tmp_path / name, *args) == 0
    boxes = tmp_path / 'known/predictions.jsonl'
    built = ('build', checkpoint, tmp_path / 'index', '--boxes', boxes, '--score-thr')
    status, _, error = tool(*built, 1)
    assert status == 2 and 'has no boxes with a score of 1 or more' in error
    assert tool(*built, 0)[0] == 0
    rows = Gallery.open(tmp_path / 'index').rows
    assert {row['image'] for row in rows} == set(images[:2])
    assert rows[0].keys() == {'image', 'bbox', 'label', 'name', 'score'}
    args = (tmp_path / 'asked/predictions.jsonl', '--out', tmp_path / 'out', '--score-thr', 0)
    assert tool('search', tmp_path / 'index', *args, '--top', 2)[0] == 0
    for line in lines_of(tmp_path / 'out/matches.jsonl'):
        if line['query']['image'] == images[1]:
            best = line['matches'][0]
            assert best['score'] == pytest.approx(1, abs=1e-5)
            assert best['row']['image'] == images[1]
    # A crop is searched like a box.
    record = lines_of(boxes)[0]['det'][0]
    x1, y1, x2, y2 = record['bbox']
    image = cv2.imread(lines_of(boxes)[0]['input'])
    crop = image[max(int(y1), 0) : int(np.ceil(y2)), max(int(x1), 0) : int(np.ceil(x2))]
    cv2.imwrite(str(tmp_path / 'crop.png'), crop)
    assert (
        tool('search', tmp_path / 'index', tmp_path / 'crop.png', '--out', tmp_path / 'c')[0] == 0
    )
    (line,) = lines_of(tmp_path / 'c/matches.jsonl')
    assert line['matches'][0]['row']['bbox'] == record['bbox']


def test_boxes_of_another_run_are_refused(built, tool, tmp_path):
    boxes = tmp_path / 'predictions.jsonl'
    boxes.write_text('')
    status, _, error = tool('add', built, '--boxes', boxes)
    assert status == 2 and 'has no infer.json beside it' in error
    (tmp_path / 'infer.json').write_text('{"weights_sha256": "a"}')
    status, _, error = tool('add', built, '--boxes', boxes)
    assert status == 2 and 'run tools/infer.py with --embed-boxes TASK' in error
    maker = dict(Gallery.open(built).maker, config_sha256='0' * 64)
    (tmp_path / 'infer.json').write_text(json.dumps(dict(embed_boxes=maker)))
    status, _, error = tool('add', built, '--boxes', boxes)
    assert status == 2 and f'of the config of the model {"0" * 64}, and cannot be compared' in error

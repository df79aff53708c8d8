"""Parts of a training list to train on and to hold out, cut by groups of images."""

import json
import random

import pytest
from conftest import files_of_at_most, run_tool

from allinone.conversion import split
from allinone.conversion.split import choose, groups_of, split_list
from allinone.errors import DataError
from allinone.io.atomic import WriteError

NAMES = [f'track_{track}/{frame:02}.jpg' for track in 'abcde' for frame in range(2)]


def write_lines(path, lines):
    path.write_text(''.join(f'{line}\n' for line in lines))
    return str(path)


def write_coco(path, names, **changes):
    """Two boxes for each image but the first; ids are not positions."""
    content = dict(
        info=dict(year=2026),
        images=[dict(id=100 + i, file_name=name, width=8) for i, name in enumerate(names)],
        annotations=[
            dict(id=2 * i + k, image_id=100 + i, category_id=1, bbox=[0.5, 1, 2, 3], iscrowd=0)
            for k in range(2)
            for i in range(1, len(names))
        ],
        categories=[dict(id=1, name='Bär')],
    )  # fmt: skip
    path.write_text(json.dumps(content | changes))
    return str(path)


def lines_of(folder, name='list', ending='txt'):
    return [
        (folder / f'{name}_{part}.{ending}').read_text().splitlines()
        for part in ('train', 'held_out')
    ]


def test_groups_stay_together_in_the_order_of_the_list(tmp_path):
    names = NAMES[::2] + NAMES[1::2]  # Frames of the tracks in turns
    path = write_lines(tmp_path / 'list.txt', [f'{name} {i % 3}' for i, name in enumerate(names)])
    found = split_list(path, str(tmp_path / 'out'), 0.4, r'track_(\w)')
    train, held = lines_of(tmp_path / 'out')
    tracks = [{line.split('/')[0] for line in part} for part in (train, held)]
    assert not tracks[0] & tracks[1] and len(tracks[0] | tracks[1]) == 5
    listed = (tmp_path / 'list.txt').read_text().splitlines()
    for part in (train, held):
        assert part == [line for line in listed if line in part]
    assert sorted(train + held) == sorted(listed)
    assert (len(train), len(held)) == (found.train.images, found.held_out.images) == (6, 4)
    assert (found.train.groups, found.held_out.groups) == (3, 2)


@pytest.mark.parametrize('seed', range(5))
def test_the_order_of_the_list_does_not_matter(tmp_path, seed):
    shuffled = random.Random(seed).sample(NAMES, len(NAMES))
    found = []
    for number, names in enumerate([NAMES, shuffled]):
        path = write_lines(tmp_path / 'list.txt', names)
        split_list(path, str(tmp_path / str(number)), 0.4, r'[^/]+', seed)
        found.append([set(part) for part in lines_of(tmp_path / str(number))])
    assert found[0] == found[1]


def test_seeds_hold_out_other_groups():
    sizes = dict.fromkeys('abcdefgh', 2)
    chosen = [frozenset(choose(sizes, 0.25, seed)) for seed in range(20)]
    assert len(set(chosen)) > 5 and all(len(groups) == 2 for groups in chosen)
    assert choose(sizes, 0.25, 3) == choose(dict(reversed(sizes.items())), 0.25, 3)


@pytest.mark.parametrize(
    'sizes, share, images',
    [
        (dict(a=1, b=1, c=1, d=1), 0.5, {2}),
        (dict(a=10, b=1, c=1), 0.15, {2}),  # The large one is passed over.
        (dict(a=50, b=50), 0.9, {50}),  # Something is left to train on,
        (dict(a=5, b=6, c=7), 0.01, {5}),  # and something is held out.
        (dict(a=3, b=3, c=3), 0.5, {3, 6}),
    ],
)
def test_the_share_is_met_as_closely_as_groups_allow(sizes, share, images):
    for seed in range(10):
        chosen = choose(sizes, share, seed)
        assert 0 < len(chosen) < len(sizes)
        assert sum(sizes[group] for group in chosen) in images


def test_the_group_is_the_first_parenthesis_or_the_match():
    names = ['cam1/a_01.png', 'cam2/b_02.png']
    assert groups_of(names, r'cam(\d)/(\w)_') == ['1', '2']
    assert groups_of(names, r'cam\d') == ['cam1', 'cam2']
    assert groups_of(names, r'(?:cam1/(\w))|(?:cam2/(\w))') == ['a', 'b']
    assert groups_of(names, None) == names


def test_a_coco_file_keeps_all_else(tmp_path):
    path = write_coco(tmp_path / 'det.json', NAMES, licenses=[dict(id=7)])
    content = json.loads((tmp_path / 'det.json').read_text())
    split_list(path, str(tmp_path), 0.4, r'track_(\w)')
    parts = [json.loads((tmp_path / f'det_{part}.json').read_text()) for part in split.PARTS]
    for part in parts:
        for key in ('info', 'licenses', 'categories'):
            assert part[key] == content[key]
        ids = {image['id'] for image in part['images']}
        for key, field in (('images', 'id'), ('annotations', 'image_id')):
            assert part[key] == [entry for entry in content[key] if entry[field] in ids]
    for key, number in dict(images=10, annotations=18).items():
        assert sum(len(part[key]) for part in parts) == number
    assert [len(part['images']) for part in parts] == [6, 4]


def test_a_coco_file_of_images_alone(tmp_path):
    content = dict(images=[dict(id=i, file_name=f'{i}.jpg') for i in range(4)])
    (tmp_path / 'test.json').write_text(json.dumps(content))
    split_list(str(tmp_path / 'test.json'), str(tmp_path), 0.5)
    held = json.loads((tmp_path / 'test_held_out.json').read_text())
    assert list(held) == ['images'] and len(held['images']) == 2


def test_an_image_that_is_listed_twice_is_one_group(tmp_path):
    lines = ['a.jpg 0', 'b.jpg 0', 'a.jpg 1', 'b.jpg 1', 'my image.jpg 2']
    for seed in range(5):
        out = tmp_path / str(seed)
        split_list(write_lines(tmp_path / 'list.txt', lines), str(out), 0.4, seed=seed)
        train, held = ([line.rsplit(' ', 1)[0] for line in part] for part in lines_of(out))
        assert not set(train) & set(held) and len(held) == 2


def test_identities_stay_together(tmp_path, capsys):
    lines = [f'{image}.jpg {image % 5} c{image % 2}' for image in range(20)]
    lines += ['my car.jpg\t3', 'b.jpg 4']
    path = write_lines(tmp_path / 'list.txt', ['# PATH IDENTITY CAMERA', *lines])
    out = tmp_path / 'out'
    assert run_tool('split', path, '--by-identity', '--share', '0.4', '--out-dir', out) == 0
    parts = lines_of(out)
    assert sorted(sum(parts, [])) == sorted(lines)
    of_parts = [{line.replace('my car', 'a').split()[1] for line in part} for part in parts]
    assert not of_parts[0] & of_parts[1] and [len(part) for part in of_parts] == [3, 2]
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[1].endswith(' in 2 groups')


def test_stems_with_spaces_have_no_label(tmp_path):
    lines = ['my image 1', 'my image 2', 'my image 3', 'my image 4']
    split_list(write_lines(tmp_path / 'list.txt', lines), str(tmp_path), 0.5)
    train, held = lines_of(tmp_path)
    assert len(train) == len(held) == 2


def test_the_program(tmp_path, capsys):
    path = write_coco(tmp_path / 'det.json', NAMES)
    content = json.loads((tmp_path / 'det.json').read_text())
    content['annotations'].append(dict(id=99, image_id=5))
    (tmp_path / 'det.json').write_text(json.dumps(content))
    out = tmp_path / 'out'
    assert run_tool('split', path, '--share', 0.4, '--group', r'track_(\w)', '--out-dir', out) == 0
    train, held, stray = capsys.readouterr().out.splitlines()
    assert train == f'{out}/det_train.json: 6 images (60.0%) in 3 groups'
    assert held == f'{out}/det_held_out.json: 4 images (40.0%) in 2 groups'
    assert stray == '1 annotations that belong to no image are in neither part.'
    assert run_tool('split', path, '--out-dir', tmp_path / 'alone') == 0
    *parts, _, note = capsys.readouterr().out.splitlines()
    assert [line.split(': ')[1] for line in parts] == ['9 images (90.0%)', '1 images (10.0%)']
    assert note.startswith('Each image is a group of its own: near-copies')
    assert run_tool('split', path, '--out-dir', out) == 2
    assert capsys.readouterr().err == (
        f'error: {out}/det_train.json exists and is not overwritten; give another --out-dir\n'
    )


REFUSED = {
    'a share of 1': (
        dict(share=1.0), '--share is 1; give a fraction between 0 and 1, such as 0.15'),
    'a share of NaN': (
        dict(share=float('nan')), '--share is nan; give a fraction between 0 and 1, such as 0.15'),
    'no match': (
        dict(group='clip'),
        "--group 'clip' matches no name, such as 'track_a/00.jpg' and 'track_a/01.jpg'; give an "
        'expression that matches a part of every name'),
    'some matches': (
        dict(group='track_[acde]'),
        "--group 'track_[acde]' matches only 8 of the 10 names, not 'track_b/00.jpg' and "
        "'track_b/01.jpg'; give an expression that matches a part of every name"),
    'empty matches': (
        dict(group='x*'),
        "--group 'x*' matches no name, such as 'track_a/00.jpg' and 'track_a/01.jpg'; give an "
        'expression that matches a part of every name'),
    'no expression': (
        dict(group='track_('),
        "--group 'track_(' is no regular expression: missing ), unterminated subpattern at "
        'position 6'),
    'one group': (
        dict(group='track'),
        "{path}: --group 'track' finds a single group, 'track', of 10 images, which cannot be cut; "
        'give a --group that distinguishes them, or a list of several images'),
    'identities of names': (
        dict(by_identity=True),
        "{path}, line 1 is 'track_a/00.jpg'; it must be \"PATH IDENTITY\" or \"PATH IDENTITY "
        'CAMERA", with tabs between them if the path has spaces'),
    'groups of two kinds': (
        dict(by_identity=True, group='track'),
        "--by-identity makes a group of each identity, and --group is 'track'; leave one of them "
        'out'),
}  # fmt: skip


@pytest.mark.parametrize('name', REFUSED)
def test_arguments_that_cut_nothing(tmp_path, name):
    options, sentence = REFUSED[name]
    path = write_lines(tmp_path / 'list.txt', NAMES)
    with pytest.raises(DataError) as error:
        split_list(path, str(tmp_path / 'out'), **{'share': 0.3, **options})
    assert str(error.value) == sentence.format(path=path)
    assert [entry.name for entry in tmp_path.iterdir()] == ['list.txt']


BROKEN = {
    'truncated': ('a.json', b'{"images": [', 'a.json is no JSON (Expecting value: line 1 column 1'),
    'a list': ('a.json', b'[1]', 'a.json has no list of images under "images"; give a COCO file'),
    'no images': ('a.json', b'{"images": []}', 'a.json has no list of images under "images"; give'),
    'no name': (
        'a.json', b'{"images": [{"id": 1}]}',
        "a.json has an image without file_name or id, or an annotation without image_id (KeyError: "
        "'file_name'); give a COCO file"),
    'one id twice': (
        'a.json', b'{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}',
        'a.json: 2 images have the id 1; give each its own'),
    'empty': ('a.txt', b' \n\n', 'a.txt has no line; give a list of images'),
    'one image': (
        'a.txt', b'a.jpg 1\na.jpg 2\n', "a.txt: the list has a single group, 'a.jpg', of 2 images"),
    'an image': ('a.txt', b'\xff\xd8', 'a.txt is no UTF-8 text (invalid start byte at byte 0);'),
}  # fmt: skip


@pytest.mark.parametrize('name', BROKEN)
def test_lists_that_cannot_be_cut(tmp_path, name):
    file, content, sentence = BROKEN[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError) as error:
        split_list(str(tmp_path / file), str(tmp_path / 'out'), 0.3)
    assert str(error.value).startswith(f'{tmp_path}/{sentence}') and '\n' not in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == [file]


def test_an_absent_list(tmp_path):
    with pytest.raises(DataError, match=r'none\.txt cannot be read \(No such file or directory\);'):
        split_list(str(tmp_path / 'none.txt'), str(tmp_path), 0.3)


def test_a_full_disk_leaves_neither_part(tmp_path):
    """The part to train on fits, and is taken away again."""
    names = ['short', 'long' * 1000]
    path = write_lines(tmp_path / 'list.txt', names)
    seed = next(
        seed for seed in range(99) if names[1] in choose(dict.fromkeys(names, 1), 0.5, seed)
    )
    with files_of_at_most(2048), pytest.raises(WriteError, match='list_held_out.txt cannot be wr'):
        split_list(path, str(tmp_path), 0.5, seed=seed)
    assert [entry.name for entry in tmp_path.iterdir()] == ['list.txt']

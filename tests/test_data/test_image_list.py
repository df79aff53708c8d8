"""The image lists of Track 1."""

import pytest

from allinone.data.datasets.image_list import ImageListDataset
from allinone.errors import DataError


def read(tmp_path, text, encoding='utf-8'):
    (tmp_path / 'train.txt').write_text(text, encoding=encoding)
    dataset = ImageListDataset(
        ann_file=str(tmp_path / 'train.txt'), data_prefix=str(tmp_path / 'train')
    )
    return [
        (info['img_path'].removeprefix(f'{tmp_path}/'), info['gt_label'])
        for info in map(dataset.get_data_info, range(len(dataset)))
    ]


@pytest.mark.parametrize(
    'text, samples',
    [
        ('00001.jpg 0\n00002.jpg 17\n', [('train/00001.jpg', 0), ('train/00002.jpg', 17)]),
        ('a.jpg 1\r\n\r\n  \nb.jpg 2', [('train/a.jpg', 1), ('train/b.jpg', 2)]),
        ('a.jpg\t3\n', [('train/a.jpg', 3)]),
        ('my car.jpg  4 \n', [('train/my car.jpg', 4)]),
        ('sub/a.jpg 5\n', [('train/sub/a.jpg', 5)]),
        ('stra\u00dfe \u65e5.jpg 6\n', [('train/stra\u00dfe \u65e5.jpg', 6)]),
        # Line separators of Unicode, legal in file names
        ('a\u2028b\x85c.jpg 7\n', [('train/a\u2028b\x85c.jpg', 7)]),
    ],
)
def test_lists_are_read(tmp_path, text, samples):
    assert read(tmp_path, text) == samples


def test_a_byte_order_mark_is_no_part_of_the_name(tmp_path):
    assert read(tmp_path, 'a.jpg 1\n', 'utf-8-sig') == [('train/a.jpg', 1)]


@pytest.mark.parametrize('line', ['b.jpg', 'b.jpg stop', 'b.jpg -1', 'b.jpg 1.5', '7'])
def test_a_line_without_a_label_is_named(tmp_path, line):
    with pytest.raises(DataError) as error:
        read(tmp_path, f'a.jpg 1\n\n{line}\n')
    assert str(error.value) == (
        f'{tmp_path}/train.txt, line 3 is {line!r}; it must be "NAME LABEL" with a class number '
        'from 0 as the label'
    )

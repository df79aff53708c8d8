import pytest

from allinone.io.text import cut_short, shortened


@pytest.mark.parametrize(
    'count, options, text',
    [
        (0, {}, ''),
        (3, {}, '0, 1, 2'),
        (5, {}, '0, 1, 2 and 2 more'),
        (5, dict(shown=4, last=', '), '0, 1, 2, 3, and 1 more'),
        (3, dict(shown=2, comma='; ', last='; '), '0; 1; and 1 more'),
    ],
)
def test_a_long_list_ends_with_the_number_of_the_others(count, options, text):
    assert shortened(range(count), **options) == text


def test_a_long_text_ends_in_dots():
    assert cut_short('a' * 60) == 'a' * 60
    assert cut_short('a' * 61) == 'a' * 57 + '...'

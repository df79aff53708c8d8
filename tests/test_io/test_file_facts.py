"""Facts of files, read once and again when a file changed."""

import os

from allinone.io.file_facts import FileFacts, cache_folder


def test_a_file_is_read_again_only_if_it_changed(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    file, reads = tmp_path / 'a.txt', []

    def size(path):
        reads.append(path)
        return dict(size=os.path.getsize(path))

    def start(what='sizes', place='x'):
        facts = FileFacts(what, place)
        found = facts.of(str(file), size)
        facts.save()
        return found

    file.write_text('abc')
    assert start() == start() == start() == dict(size=3) and len(reads) == 1
    file.write_text('abcd')
    assert start() == start() == dict(size=4) and len(reads) == 2
    os.utime(file, ns=(1, 1))
    start()
    assert len(reads) == 3
    # Other facts, or of another place, are apart.
    start('labels')
    start(place='y')
    assert len(reads) == 5


def test_errors_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'a').write_text('a')
    tries = []

    def fail(path):
        tries.append(path)
        raise ValueError(path)

    for _ in range(2):
        facts = FileFacts('x', 'y')
        try:
            facts.of(str(tmp_path / 'a'), fail)
        except ValueError:
            facts.save()
    assert len(tries) == 2


def test_a_cache_that_cannot_be_used_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'a').write_text('a')
    facts = FileFacts('x', 'y')
    facts.of(str(tmp_path / 'a'), len)
    facts.save()
    (kept,) = (tmp_path / 'cache/allinone/file_facts').iterdir()
    for content in ('{', '[1]', '{"a": 3}'):
        kept.write_text(content)
        assert FileFacts('x', 'y').of(str(tmp_path / 'a'), len) == len(str(tmp_path / 'a'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'a'))
    facts = FileFacts('x', 'y')
    assert facts.of(str(tmp_path / 'a'), len)
    facts.save()
    assert cache_folder() == str(tmp_path / 'a/allinone')

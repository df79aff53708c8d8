"""Each converter on a tiny download in its true format, whole and in all the ways it is not."""

import hashlib
import json
import shutil
import sys

import pytest
from conftest import ROOT
from trees import CASES

from allinone.cli.convert import main, parse_args
from allinone.conversion import convert
from allinone.conversion.images import Examiner
from allinone.conversion.journal import Journal
from allinone.errors import DataError

convert_module = sys.modules[convert.__module__]


def digests(root):
    """Digest of each file below a folder, by relative path, but of what says where it lies."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file() and path.name != 'conversion.json'
    }


class Tree:
    """A case's download and its conversion; both are shared, so copied before they are changed."""

    def __init__(self, key, root):
        self.key, self.case = key, CASES[key]
        self.source, self.data = root / 'download', root / 'data'
        self.out = self.data / self.case.converter / self.case.folder
        self.case.make(self.source)
        self.before = digests(self.source)
        self.report = convert(self.case.data_set(self.source), self.source, self.out)

    def copy(self, root):
        """A copy of the download, and a name for its conversion."""
        shutil.copytree(self.source, root / 'download')
        return root / 'download', root / 'out'

    def refused(self, source, out, **options):
        with pytest.raises(DataError) as error:
            convert(self.described, source, out, **options)
        return str(error.value)

    @property
    def described(self):
        return self.case.data_set(self.source)


@pytest.mark.parametrize(
    'key, counts',
    [
        ('tt100k', 'only 3 of 6,105 images for train (data.zip)'),
        ('tt100k_2021', 'only 1 of 3,071 images for val (tt100k_2021.zip)'),
        ('bdd100k_seg', 'labels/sem_seg/masks/train has 2 of its 7,000 files'),
        ('bdd100k_drivable', 'labels/drivable/masks/val has 1 of its 10,000 files'),
        ('bdd100k_lane', None),  # Nobody says how many there are.
    ],
)
def test_fewer_images_than_were_published_are_refused(tmp_path, key, counts):
    case, source = CASES[key], tmp_path / 'download'
    case.make(source)
    if counts is None:
        report = convert(case.published(source), source, tmp_path / 'out')
        assert report['splits']['train']['images'] == case.counts['train']
        return
    with pytest.raises(DataError) as error:
        convert(case.published(source), source, tmp_path / 'out')
    assert counts in str(error.value)


@pytest.fixture(scope='module', params=CASES)
def tree(request, tmp_path_factory):
    return Tree(request.param, tmp_path_factory.mktemp(request.param))


def test_all_is_converted_and_the_source_is_as_it_was(tree):
    assert digests(tree.source) == tree.before
    assert {name: split['images'] for name, split in tree.report['splits'].items()} == (
        tree.case.counts
    )
    assert json.loads((tree.out / 'conversion.json').read_text()) == tree.report
    linked = {path.stat().st_ino for path in tree.out.rglob('*')}
    assert ((tree.source / tree.case.image).stat().st_ino in linked) == tree.case.linked


def test_a_second_run_does_nothing(tree):
    def states():
        paths = [tree.out, *tree.out.rglob('*')]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}

    before = states()
    assert convert(tree.described, tree.source, tree.out) == tree.report
    assert states() == before


def test_a_missing_part_and_its_archive_are_named(tree, tmp_path):
    source, out = tree.copy(tmp_path)
    for part in tree.described.parts:
        (source / part.path).rename(tmp_path / 'aside')
        message = tree.refused(source, out)
        if len(tree.described.parts) > 1:
            assert message.startswith(f'{source} lacks {part.path}')
        else:
            assert f'it has none of {part.path}' in message
        assert f'unpack {part.archive} there' in message
        (tmp_path / 'aside').rename(source / part.path)
    assert not out.exists()


def test_another_folder_is_refused(tree, tmp_path):
    (tmp_path / 'holiday').mkdir()
    message = tree.refused(tmp_path / 'holiday', tmp_path / 'out')
    part = tree.described.parts[0]
    assert f'is no folder of {tree.described.title}: it has none of' in message
    assert part.path in message and part.archive in message
    around = tree.refused(tree.source.parent, tmp_path / 'out')
    assert around.endswith(f'give {tree.source}, which has them')
    assert 'is not a folder' in tree.refused(tmp_path / 'nowhere', tmp_path / 'out')


def test_a_converted_folder_is_no_source(tree, tmp_path):
    assert 'is converted already' in tree.refused(tree.out, tmp_path / 'out')


def test_annotations_that_are_cut_short_are_named(tree, tmp_path):
    if not tree.case.annotations:
        pytest.skip('its label maps are its annotations')
    source, out = tree.copy(tmp_path)
    file = source / tree.case.annotations
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 7 // 8])
    message = tree.refused(source, out)
    assert file.name in message and 'damaged or cut short' in message
    assert f'unpack {tree.case.annotations_archive}' in message and message.endswith('again')
    assert not list(out.rglob('*.tmp')) and not (out / 'conversion.json').exists()


def test_images_missing_and_cut_short_are_named(tree, tmp_path):
    source, out = tree.copy(tmp_path)
    file = source / tree.case.image
    whole = file.read_bytes()
    file.unlink()
    message = tree.refused(source, out)
    case = tree.case
    if case.listed is None:
        folder = case.image.split('/')[0]
        assert f'{folder} has 4 of its 5 files; unpack {case.image_archive} again' in message
    else:
        named = f'{case.image}: {case.listed}' if case.listed else case.image
        assert f'1 files are missing ({named}; in {case.image_archive})' in message
    file.write_bytes(whole[: len(whole) // 2])
    message = tree.refused(source, out)
    assert f'damaged or cut short ({tree.case.image}: ' in message
    assert f'in {tree.case.image_archive})' in message
    left = convert(tree.described, source, out, partial=True)
    assert left['problems']['unreadable']['count'] == 1
    assert sum(split['images'] for split in left['splits'].values()) == (
        sum(tree.case.counts.values()) - 1
    )
    # Put right, the next run takes it in.
    file.write_bytes(whole)
    convert(tree.described, source, out)
    assert digests(out) == digests(tree.out)


def test_what_was_deleted_of_the_conversion_is_made_again(tree, tmp_path):
    source, out = tree.copy(tmp_path)
    convert(tree.described, source, out)
    for name in sorted(digests(out))[::2]:
        (out / name).unlink()
    convert(tree.described, source, out)
    assert digests(out) == digests(tree.out)


def test_an_interrupted_conversion_goes_on(tree, tmp_path, monkeypatch):
    source, out = tree.copy(tmp_path)
    monkeypatch.setattr(convert_module, 'BATCH', 1)
    flush = Journal.flush

    def interrupted(journal):
        flush(journal)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, 'flush', interrupted)
        convert(tree.described, source, out)
    assert not (out / 'conversion.json').exists() and not list(out.rglob('*.tmp'))
    with open(out / '.conversion.jsonl', 'a') as journal:
        journal.write('["cut sho')
    looked_at, size = [], Examiner._size
    monkeypatch.setattr(
        Examiner, '_size', lambda self, image: looked_at.append(image) or size(self, image)
    )
    convert(tree.described, source, out)
    assert len(looked_at) == sum(tree.case.counts.values()) - 1
    assert digests(out) == digests(tree.out)


@pytest.mark.parametrize('link', ['symbolic', 'copy'])
def test_other_ways_to_link(tree, tmp_path, link):
    report = convert(tree.described, tree.source, tmp_path / 'out', link=link)
    assert report['splits'] == tree.report['splits']
    assert digests(tmp_path / 'out') == digests(tree.out)
    status = (tree.source / tree.case.image).stat()
    inodes = {path.stat().st_ino for path in (tmp_path / 'out').rglob('*')}
    assert (status.st_ino in inodes) == (link == 'symbolic' and tree.case.linked)


def test_the_base_file_reads_it(tree, monkeypatch):
    if tree.key != tree.case.name:
        pytest.skip('another download of the same set')
    from mmengine.config import Config

    from allinone.config.build_errors import scoped
    from allinone.data.loaders import build_loader
    from allinone.registry import MODELS
    from allinone.registry.kinds import kind_of_dataset_class

    monkeypatch.setenv('ALLINONE_DATA', str(tree.data))
    cfg = Config.fromfile(ROOT / f'configs/_base_/datasets/{tree.case.name}.py')
    assert list(cfg.keys()) == [tree.case.name]
    cfg = cfg[tree.case.name]
    images = [*tree.case.counts.values()]
    if 'val_references' in cfg:
        gallery = build_loader('val', 'task', cfg.val_references, 0, None, False, True)
        assert len(gallery.dataset) == images[2]
    stages = ('train', 'val') if 'train_dataloader' in cfg else ('val',)
    for stage in stages:
        loader = cfg[f'{stage}_dataloader']
        loader.num_workers = 0
        if loader.get('sampler'):
            # The download has fewer identities.
            loader.batch_size = 4
            loader.sampler.update(identities=2, images_per_identity=2)
        classes = tree.case.classes or cfg.get('num_classes')
        loader = build_loader(stage, 'task', loader, 0, classes, stage == 'train', True)
        if stage == 'train':
            batch = next(iter(loader))
            assert len(batch['inputs']) == len(batch['data_samples']) == loader.batch_size
    # As a model of the library takes them, also where the images are of many sizes
    scope = scoped(cfg.val_dataloader.dataset)['_scope_']
    data = loader.dataset.dataset
    kind = kind_of_dataset_class(type(getattr(data, 'dataset', data)))
    prepare = MODELS.build(dict(kind.preprocessor_config(scope, None, {}), _scope_=scope))
    prepared = [len(prepare(batch, False)['inputs']) for batch in loader]
    assert sum(prepared) == len(loader.dataset) == images[len(stages) - 1]


def test_the_command(tree, tmp_path, capsys):
    def status(*more):
        argv = [name, str(tree.source), str(tmp_path / 'out'), '--quiet', *options, *more]
        return main(parse_args(argv))

    name = tree.case.converter
    options = [f'--{option}={value}' for option, value in tree.case.options.items()]
    counted = any(split.published for split in tree.case.published(tree.source).splits)
    assert status() == counted
    if counted:
        said = capsys.readouterr()
        assert said.err.startswith(f'{name}: {tree.source}') and '--partial' in said.err
        assert status('--partial') == 0
    split, count = next(iter(tree.case.counts.items()))
    assert f'{split}: {count:,} images' in capsys.readouterr().out
    assert (tmp_path / 'out' / tree.case.folder / 'conversion.json').exists()

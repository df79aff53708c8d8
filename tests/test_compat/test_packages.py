"""MMEngine finds the forks' configs, and no installer is ever started."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  # lists the fonts with a program when first imported
import mmengine.hub
import pytest
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import MODELS
from mmengine.utils import install_package

from allinone import compat
from allinone.compat import packages

compat.install()

_ABSENT = 'onedl-mmnowhere'


@pytest.fixture(autouse=True)
def no_installer(monkeypatch):
    """Makes every way of starting a program fail, and pip unimportable."""

    def refuse(*args, **kwargs):
        raise AssertionError('a program was started')

    monkeypatch.setattr(subprocess.Popen, '__init__', refuse)
    for name in ('system', 'execv', 'execve', 'posix_spawn', 'posix_spawnp', 'fork'):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, refuse)
    monkeypatch.setitem(sys.modules, 'pip', None)
    monkeypatch.setitem(MODULE2PACKAGE, 'mmnowhere', _ABSENT)


def test_guard_of_these_tests_works():
    with pytest.raises(AssertionError, match='a program was started'):
        subprocess.check_call([sys.executable, '-m', 'pip', '--version'])


@pytest.mark.parametrize(
    ('path', 'model'),
    [
        ('mmseg::_base_/models/fcn_unet_s5-d16.py', 'EncoderDecoder'),
        ('mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'FasterRCNN'),
        ('mmpretrain::_base_/models/resnet18.py', 'ImageClassifier'),
    ],
)
def test_base_of_other_package_is_found(tmp_path, path, model):
    file = tmp_path / 'config.py'
    file.write_text(f'_base_ = ["{path}"]\n')
    inherited = Config.fromfile(file)
    assert inherited.model.type == model
    assert inherited.model._scope_ == path.split('::')[0]

    assert Config.fromfile(path).model.type == model
    assert mmengine.hub.get_config(path).model.type == model


def test_full_config_of_mmseg_is_found():
    path = 'mmseg::unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py'
    config = Config.fromfile(path)
    assert config.crop_size == (512, 1024)
    assert config.to_dict() == mmengine.hub.get_config(path).to_dict()


def test_model_is_built_from_mmseg_config(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text(
        '_base_ = ["mmseg::_base_/models/fcn_unet_s5-d16.py"]\n'
        'model = dict(backbone=dict(base_channels=4),\n'
        '             decode_head=dict(in_channels=4, channels=4),\n'
        '             auxiliary_head=dict(in_channels=8, channels=4))\n'
    )
    model = MODELS.build(Config.fromfile(file).model)
    assert type(model).__module__.startswith('mmseg.')


def test_plain_paths_still_load(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text('value = 3\n')
    assert Config.fromfile(file).value == 3
    assert Config.fromfile(str(file), lazy_import=False).value == 3
    with pytest.raises(FileNotFoundError):
        Config.fromfile(str(tmp_path / 'none.py'))


def test_missing_config_of_installed_package_raises():
    with pytest.raises(FileNotFoundError, match='no-such-model'):
        Config.fromfile('mmseg::_base_/models/no-such-model.py')


def test_absent_package_is_named_not_installed(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text('_base_ = ["mmnowhere::_base_/model.py"]\n')
    for load in (
        lambda: Config.fromfile('mmnowhere::_base_/model.py'),
        lambda: Config.fromfile(file),
        lambda: mmengine.hub.get_config('mmnowhere::_base_/model.py'),
        lambda: install_package(_ABSENT),
    ):
        with pytest.raises(ModuleNotFoundError, match=_ABSENT):
            load()
    with pytest.raises(packages.PackageNotInstalledError, match=f'pip install {_ABSENT}'):
        install_package(_ABSENT)


def test_table_names_the_forks():
    for module, fork in packages.FORKS.items():
        if module != 'mmrotate':
            assert MODULE2PACKAGE[module] == fork
    # MMEngine would call `mmengine.utils.register_all_modules`, which does not exist.
    assert 'mmengine' not in MODULE2PACKAGE


@pytest.mark.parametrize(
    ('installed', 'expected'),
    [
        ({'onedl-mmsegmentation': 'mmseg', 'mmsegmentation': 'mmseg'}, 'onedl-mmsegmentation'),
        ({'mmsegmentation': 'mmseg'}, 'mmsegmentation'),
        ({'mmseg': 'mmseg'}, 'mmseg'),
        ({'mmseg': 'chinese_words'}, 'onedl-mmsegmentation'),
        ({}, 'onedl-mmsegmentation'),
    ],
)
def test_distribution_name(monkeypatch, installed, expected):
    def find(name):
        if name not in installed:
            raise PackageNotFoundError(name)
        return str(Path('site-packages', installed[name]))

    monkeypatch.setattr(packages, 'get_installed_path', find)
    assert packages.distribution_name('mmseg', 'mmsegmentation') == expected


def test_install_is_idempotent():
    table, fromfile, finders = dict(MODULE2PACKAGE), Config.fromfile, list(sys.meta_path)
    compat.install()
    assert (MODULE2PACKAGE, Config.fromfile, sys.meta_path) == (table, fromfile, finders)


def test_install_imports_neither_torch_nor_mmcv(monkeypatch):
    monkeypatch.undo()
    package = Path(compat.__file__).parents[1]
    # The parent package is faked, as it may import more than `compat` does.
    code = (
        'import sys, types\n'
        "parent = sys.modules['allinone'] = types.ModuleType('allinone')\n"
        f'parent.__path__ = [{str(package)!r}]\n'
        'from allinone import compat\n'
        'compat.install()\n'
        "print([name for name in ('torch', 'mmcv', 'mmdet') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == '[]'


@pytest.mark.parametrize(
    'code',
    [
        'import allinone, mmengine',
        'import mmengine, allinone',
        'import allinone, mmengine.config.utils',
        'import allinone; from allinone.compat import install; install(); import mmengine',
    ],
)
def test_mmengine_is_corrected_whichever_is_imported_first(monkeypatch, code):
    monkeypatch.undo()
    code += (
        '; import sys; from mmengine.config.utils import MODULE2PACKAGE; print(MODULE2PACKAGE'
        "['mmdet'], type(mmengine.__loader__).__name__, mmengine.__spec__.loader is "
        'mmengine.__loader__)'
    )
    found = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == ['onedl-mmdetection', 'SourceFileLoader', 'True']


def test_help_does_not_wait_for_mmengine(monkeypatch):
    monkeypatch.undo()
    code = "import sys, allinone.cli.train, allinone.cli.infer; print('mmengine' in sys.modules)"
    found = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout
    assert found == 'False\n'

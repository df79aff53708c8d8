"""The package from a wheel, in a virtual environment on top of that of the tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
FILES = (
    *('pyproject.toml', 'setup.py', 'MANIFEST.in', 'README.md', 'LICENSE'),
    *('requirements.txt', 'constraints.txt'),
)


def build_wheel(source: Path) -> Path:
    """The wheel of a copy of the sources in a folder, as building leaves files beside them."""
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for name in ('allinone', 'configs'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    pip(sys.executable, 'wheel', '--no-deps', '--no-build-isolation', '-w', source / 'out', source)
    assert not (source / 'allinone/_configs').exists()
    return next((source / 'out').glob('allinone-*.whl'))


def pip(python, *argv):
    command = [python, '-m', 'pip', *map(str, argv), '--quiet']
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


class Installed:
    """Runs the installed command in an empty folder: ``installed(*argv)``.

    Attributes:
        folder: The folder, shared by all tests of a process.
        python: Python of the environment.
    """

    def __init__(self, wheel: Path, place: Path):
        pure = [sys.executable, '-m', 'venv', '--without-pip', str(place / 'venv')]
        subprocess.run(pure, check=True)
        packages = next((place / 'venv/lib').glob('python*/site-packages'))
        # A line with a path adds it, but not what an editable install has put there.
        (packages / 'test_environment.pth').write_text(str(Path(torch.__file__).parents[1]))
        self.folder, self.python = place / 'empty', place / 'venv/bin/python'
        pip(sys.executable, '--python', self.python, 'install', '--no-deps', wheel)
        self.folder.mkdir()
        self._env = {
            name: value
            for name, value in os.environ.items()
            if name not in ('PYTHONPATH', 'ALLINONE_DATA')
        }
        self._env |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
        self._env['PATH'] = f'{self.python.parent}{os.pathsep}{os.environ["PATH"]}'

    def __call__(self, *argv, program='allinone', status=0):
        return self.run([str(self.python.with_name(program)), *map(str, argv)], status)

    def run(self, command, status=0, cwd=None):
        """Any command, with the environment's programs on the path; what it printed.

        Args:
            command: Words, or a line for bash.
            status: The exit status that it must have.
            cwd: Folder in place of the empty one.
        """
        words = ['bash', '-c', command] if isinstance(command, str) else command
        found = subprocess.run(
            words, capture_output=True, text=True, cwd=cwd or self.folder, env=self._env
        )
        assert found.returncode == status, found.stdout + found.stderr
        return found

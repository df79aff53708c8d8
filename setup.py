"""The project is described in pyproject.toml; here is what a wheel has of configs/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGS = Path(__file__).resolve().parent / 'configs'


class BuildWithConfigs(build_py):
    """Copies ``configs/`` to ``allinone/_configs``; an editable install uses the former."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, 'allinone/_configs')
        shutil.rmtree(target, ignore_errors=True)  # A config of an earlier build may be gone.
        for path in sorted(CONFIGS.rglob('*.py')):
            copy = target / path.relative_to(CONFIGS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


setup(cmdclass=dict(build_py=BuildWithConfigs))

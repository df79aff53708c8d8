import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


setup(
    name='allinone',
    version=re.search(
        r"__version__ = '(.+)'", (ROOT / 'allinone/__init__.py').read_text(encoding='utf-8')
    ).group(1),
    description='Classification, detection and segmentation trained jointly on one backbone',
    packages=find_packages(include=['allinone', 'allinone.*']),
    python_requires='>=3.10,<3.13',
    install_requires=requirements('requirements.txt'),
    extras_require={'tests': ['pytest>=8', 'pytest-xdist>=3.6', 'ruff>=0.14']},
)

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
LMDB = ['lmdb>=1.4']
HTTP = ['fsspec>=2024.2', 'aiohttp>=3.9']


def requirements(name: str) -> list[str]:
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


setup(
    name='allinone',
    version=re.search(
        r"__version__ = '(.+)'", (ROOT / 'allinone/__init__.py').read_text(encoding='utf-8')
    ).group(1),
    author='The allinone authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    description='Classification, detection and segmentation trained jointly on one backbone',
    packages=find_packages(include=['allinone', 'allinone.*']),
    python_requires='>=3.10,<3.13',
    install_requires=requirements('requirements.txt'),
    extras_require={
        # Where training data may lie; s3fs does not go with constraints.txt (an older dateutil).
        'lmdb': LMDB,
        'http': HTTP,
        's3': ['s3fs>=2024.2'],
        'tests': ['pytest>=8', 'pytest-xdist>=3.6', 'ruff>=0.14', *LMDB, *HTTP],
    },
)

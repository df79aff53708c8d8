"""The project is described in pyproject.toml."""

from setuptools import setup

setup()

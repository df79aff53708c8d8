"""Shared sources in two processes: equal to one process on the union of their batches."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from shared_processes import LABELS, METHODS, MOVING, RUNS, SHARDED, SPECIAL

LIMIT = 300  # seconds; the pair ends itself before if a process waits for the other one


@pytest.fixture(scope='module')
def found():
    program = subprocess.run(
        [sys.executable, ROOT / 'tests/e2e/shared_processes.py'],
        env=os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert program.returncode == 0, program.stderr[-5000:]
    return json.loads(program.stdout.splitlines()[-1])


@pytest.mark.parametrize('name', [*SPECIAL, *MOVING])
def test_special_models(found, name):
    """A frozen backbone; separate passes of the backbone; batch norm in training mode.

    With separate passes, a process without images of a task leaves loss and gradients alone.
    """
    runs = [run for key, run in found.items() if key in (name, f'{name} 0', f'{name} 1')]
    assert len(runs) == 1 + (name in SPECIAL)
    for run in runs:
        assert run['gradients'] < 1e-5 and run['log'] < 1e-5 and run['keys'], run


@pytest.mark.parametrize('labels', LABELS)
def test_two_processes_are_one_with_all_images(found, labels):
    """With as many labelled images each, with others, and with none of a task in one of them.

    The detector averages over the processes within its losses, so one without boxes must run it.
    """
    runs = {name: run for name, run in found.items() if f' {labels} ' in name}
    assert len(runs) == 2 * (len(METHODS) + len(SHARDED)) == 2 * len(RUNS) // len(LABELS)
    for name, run in runs.items():
        assert run['gradients'] < 1e-5, (name, run)
        assert run['log'] < 1e-5, (name, run)
        assert run['keys'], name

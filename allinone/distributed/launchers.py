"""PyTorch's environment variables from the launchers' variables."""

import os
import subprocess

from allinone.errors import ConfigError

VARIABLES = dict(
    pytorch=dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'),
    slurm=dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
    ),
)


def set_variables(launcher: str) -> None:
    """Set ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR`` and ``MASTER_PORT``.

    An address and a port that are already set do not change. The default address is the first
    machine of Slurm's list; for MPI it is this machine if all processes run on it.

    Raises:
        ConfigError: If a variable of the launcher is missing, or there is no address for the
            rendezvous.
    """
    for name in VARIABLES[launcher]:
        os.environ[name] = variable_of(launcher, name)
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine(launcher)
    if launcher != 'pytorch':
        os.environ.setdefault('MASTER_PORT', '29500')
    _given(launcher, 'MASTER_PORT')


def variable_of(launcher: str, name: str) -> str:
    """Value of the launcher's counterpart of one of PyTorch's variables.

    Raises:
        ConfigError: If the launcher did not set it.
    """
    return _given(launcher, VARIABLES[launcher][name])


def _given(launcher: str, name: str) -> str:
    if name not in os.environ:
        raise ConfigError(
            f'--launcher is {launcher!r}, but {name} is not set, as it sets it for each process; '
            'start with it, or leave --launcher out'
        )
    return os.environ[name]


def _first_machine(launcher: str) -> str:
    machines = ''
    if launcher == 'slurm':
        machines = _given(launcher, 'SLURM_NODELIST')
        if set(machines) & set('[,'):
            machines = _spelt_out(machines)
    elif launcher == 'mpi':
        local = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE')
        machines = '127.0.0.1' if local == os.environ['WORLD_SIZE'] else ''
    if not machines:
        raise ConfigError(
            f'--launcher is {launcher!r}, but MASTER_ADDR, where the processes meet, is not set; '
            'set it to the address of the first machine'
        )
    return machines.split()[0]


def _spelt_out(machines: str) -> str:
    """Expand Slurm's ``node[1-3]`` to one line per machine; empty if ``scontrol`` fails."""
    try:
        return subprocess.check_output(['scontrol', 'show', 'hostnames', machines], text=True)
    except (OSError, subprocess.CalledProcessError):
        return ''


def is_first_process() -> bool:
    """Whether this is rank 0, by the launchers' variables; needs no process group."""
    return all(os.environ.get(names['RANK'], '0') == '0' for names in VARIABLES.values())

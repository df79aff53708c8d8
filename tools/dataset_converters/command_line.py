"""Old commands of this folder, which name the new one and run it; for one release."""

import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(tool: str, *arguments: str) -> None:
    """Run ``tools/TOOL.py`` with these arguments, then those of this process."""
    command = ' '.join([f'python tools/{tool}.py', *arguments])
    print(f'{Path(sys.argv[0]).name} is now {command}; this path goes away', file=sys.stderr)
    sys.path.insert(0, str(ROOT))  # The checkout need not be installed.
    sys.argv[:1] = [str(ROOT / f'tools/{tool}.py'), *arguments]
    runpy.run_path(sys.argv[0], run_name='__main__')

"""Which configs are exported, by the checks of the exporter: python -m benchmarks.export_table.

Models are built without weights and run once on a blank image; nothing is written.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

import allinone  # noqa: F401  # It stands in for the operators of mmcv.
from allinone.config.loading import load_config
from allinone.errors import AllInOneError
from allinone.models.joint import build_network
from allinone.reuse.export.export import plain_config
from allinone.reuse.export.graph import ExportGraph, try_graph
from allinone.reuse.export.sizes import input_size, require_size

ROOT = Path(__file__).parents[1]
STEP = 32  # Stride of most backbones


def row(path: Path) -> str:
    """Size and outputs of a config's graph, or why there is none."""
    cfg = load_config(str(path))
    backbone = cfg.model.backbone
    backbone.pop('init_cfg', None)  # Weights are not needed.
    network = build_network(plain_config(cfg)).eval()
    tasks = list(network.tasks)
    graph = ExportGraph(network, tasks).eval()
    size = input_size(cfg, network, tasks, None)
    # A quarter of the sides is enough to see that all parts fit.
    sides = tuple(max(side // 4 // STEP, 2) * STEP for side in (size.height, size.width))
    require_size(cfg, network.shared_part(tasks), sides)
    graph.suppress_by_operator(True)
    outputs = try_graph(graph, sides)
    return f'yes, {size.height} x {size.width}: {", ".join(outputs)}'


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('configs', nargs='*', type=Path, help='default: all of configs/')
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    print('| config | exported |\n|---|---|')
    for path in args.configs or sorted(ROOT.glob('configs/[!_]*/*.py')):
        start = time.perf_counter()
        try:
            found = row(path)
        except AllInOneError as error:
            found = f'no: {error}'
        print(f'| {path.name} | {found} |', flush=True)
        print(f'{path}: {time.perf_counter() - start:.1f} s', file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())

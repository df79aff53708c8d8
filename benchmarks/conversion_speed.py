"""Time full-size conversions: python benchmarks/conversion_speed.py [--only NAME ...]

Number and size of the annotations are those of the published data sets; images are hard links to a
few small ones, so the times exclude most disk reads. Prints seconds and peak memory of each
conversion, and ends with status 1 if one is above its limits.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

CONVERT = Path(__file__).parents[1] / 'tools/convert.py'
SECONDS, MIB = 60, 1000
EACH = 3000  # links to one image, because file systems have a limit
FRAMES = 300  # different frames; the others are copies with another name
SIGNS = (
    'i2 i4 i5 il100 il60 il80 io ip p10 p11 p12 p19 pl40 pl5 pl50 pn pne po w55 w57 p13 pr30 ph3'
).split()
# In about the proportions of the real data
OBJECTS = (
    *['car'] * 55, *['traffic sign'] * 19, *['traffic light'] * 14, *['person'] * 7,
    *['truck'] * 2, 'bus', 'bike', 'rider', 'motor', 'train',
)  # fmt: skip
OF_2020 = dict(person='pedestrian', bike='bicycle', motor='motorcycle')


def link_images(folder: Path, names: Iterable[str], size: tuple[int, int], seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = None
    for number, name in enumerate(names):
        path = folder / name
        if number % EACH == 0:
            pixels = np.random.default_rng([seed, number]).integers(0, 256, (9, 16, 3), np.uint8)
            Image.fromarray(pixels).resize(size).save(path, quality=30)
            source = path
        else:
            os.link(source, path)


def corners(width: int, height: int, largest: int) -> dict[str, float]:
    x, y = random.uniform(0, width - 10), random.uniform(0, height - 10)
    right = min(x + random.uniform(2, largest), width - 1)
    return dict(x1=x, y1=y, x2=right, y2=min(y + random.uniform(2, largest), height - 1))


def shape(category: str, attributes: dict, types: str, number: int) -> dict:
    vertices = [[random.uniform(0, 1280), random.uniform(0, 720)] for _ in types]
    line = dict(vertices=vertices, types=types, closed=category != 'lane')
    return dict(
        category=category, attributes=attributes, manualShape=True, manualAttributes=True,
        poly2d=[line], id=number,
    )  # fmt: skip


def frame(release: str) -> str:
    """An image's annotations as JSON text, with ``NAME`` in place of its name."""
    labels = []
    for number in range(random.choice([8, 12, 15, 18, 20, 24, 32])):
        category = random.choice(OBJECTS)
        labels.append(
            dict(
                category=category if release == '2018' else OF_2020.get(category, category),
                attributes=dict(
                    occluded=random.random() < 0.4, truncated=False, trafficLightColor='none'
                ),
                manualShape=True,
                manualAttributes=True,
                box2d=corners(1280, 720, 160),
                id=str(number),
            )
        )
    if release == '2018':
        style = dict(laneDirection='parallel', laneStyle='solid', laneType='road curb')
        for number in range(random.choice([5, 7, 9])):
            labels.append(shape('lane', style, random.choice(['LL', 'LL', 'LCCL']), 1000 + number))
        for number in range(2):
            area = dict(areaType='direct')
            labels.append(shape('drivable area', area, 'LLLLLLLCCL', 2000 + number))
    attributes = dict(weather='clear', scene='city street', timeofday='daytime')
    content = dict(name='NAME', attributes=attributes, timestamp=10000, labels=labels)
    return json.dumps(content, indent=4)


def bdd100k(root: Path, release: str) -> None:
    random.seed(0)
    file = {
        '2018': 'labels/bdd100k_labels_images_{}.json',
        '2020': 'labels/det_20/det_{}.json',
    }[release]
    frames = [frame(release) for _ in range(FRAMES)]
    for seed, (split, count) in enumerate(dict(train=69863, val=10000).items()):
        path = root / file.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        names = [f'{number:08x}-{split}.jpg' for number in range(count)]
        with open(path, 'w') as written:
            for number, name in enumerate(names):
                written.write(',' if number else '[')
                written.write(frames[number % FRAMES].replace('NAME', name, 1))
            written.write(']')
        link_images(root / f'images/100k/{split}', names, (1280, 720), seed)


def tt100k(root: Path) -> None:
    random.seed(0)

    def sign() -> dict:
        x1, y1, x2, y2 = corners(2048, 2048, 90).values()
        return dict(
            category=random.choice(SIGNS),
            bbox=dict(xmin=x1, ymin=y1, xmax=x2, ymax=y2),
            ellipse_org=[[x1, y1]] * 6,
            ellipse=[[x1, y1], [x2 - x1, y2 - y1], 3.0],
            polygon=[[x1 + 0.1 * point, y1] for point in range(24)],
        )

    images = {}
    for seed, (split, count) in enumerate(dict(train=6105, test=3071, other=7641).items()):
        numbers = range(20000 * seed, 20000 * seed + count)
        link_images(root / split, [f'{number}.jpg' for number in numbers], (2048, 2048), seed)
        (root / split / 'ids.txt').write_text(''.join(f'{number}\n' for number in numbers))
        for number in numbers:
            signs = [] if split == 'other' else [sign() for _ in range(random.randint(1, 4))]
            path = f'{split}/{number}.jpg'
            images[str(number)] = dict(id=number, path=path, objects=signs)
    (root / 'annotations.json').write_text(json.dumps(dict(types=SIGNS, imgs=images)))


CASES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    'tt100k': (tt100k, ['tt100k']),
    'bdd100k_det 2020': (partial(bdd100k, release='2020'), ['bdd100k_det']),
    'bdd100k_det 2018': (
        partial(bdd100k, release='2018'),
        ['bdd100k_det', '--release', '2018'],
    ),
}


def convert(source: Path, out: Path, name: str, *options: str) -> tuple[float, float]:
    """Run the tool; return its seconds and peak MiB."""
    command = [sys.executable, CONVERT, name, source, out, '--quiet', *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    spent = time.perf_counter() - start
    if status:
        raise SystemExit(f'{name} ended with {os.waitstatus_to_exitcode(status)}')
    return spent, used.ru_maxrss / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', nargs='?', help='folder for some GB of temporary files')
    parser.add_argument('--only', nargs='+', choices=CASES, default=list(CASES), metavar='NAME')
    args = parser.parse_args()
    good = True
    for case in args.only:
        make, (name, *options) = CASES[case]
        folder = Path(tempfile.mkdtemp(dir=args.folder))
        try:
            # In another process, because a process inherits the peak memory of its parent.
            maker = multiprocessing.Process(target=make, args=(folder / 'source',))
            maker.start(), maker.join()
            assert maker.exitcode == 0
            annotations = sum(path.stat().st_size for path in folder.rglob('*.json')) / 2**20
            for run in ('first run', 'run again, nothing left to do'):
                spent, peak = convert(folder / 'source', folder / 'out', name, *options)
                good &= spent < SECONDS and peak < MIB
                print(
                    f'{case}, {annotations:.0f} MiB of JSON, {run}: {spent:.1f} s (limit '
                    f'{SECONDS}), {peak:.0f} MiB (limit {MIB})',
                    flush=True,
                )
        finally:
            shutil.rmtree(folder)
    return not good


if __name__ == '__main__':
    sys.exit(main())

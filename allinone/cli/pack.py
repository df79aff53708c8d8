"""Pack a folder of many files into few files: python tools/pack.py FOLDER --out NAME.{pack,lmdb}"""

import argparse
import sys


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Pack all files below a folder: images, label maps and annotations.',
        epilog='Use pack://PATH/NAME.pack or lmdb://PATH/NAME.lmdb in place of the folder, such as '
        'in ALLINONE_DATA.',
    )
    parser.add_argument('folder', help='folder to pack')
    parser.add_argument(
        '--out', required=True, help='a new folder: NAME.pack for tars, NAME.lmdb for LMDB'
    )
    parser.add_argument('--shard-mib', type=int, default=1024, help='size of each tar')
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    """Pack the folder; returns 0, or 2 if it cannot be packed."""
    from allinone.data.storage.packs import pack
    from allinone.errors import DataError

    try:
        count = pack(args.folder, args.out, args.shard_mib << 20)
    except (DataError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{args.out}: {count} files')
    return 0

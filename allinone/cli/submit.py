"""Write or check a submission to Track 1.

python tools/submit.py CONFIG CKPT --out submission.json
python tools/submit.py validate submission.json --ann data/track1_train_data
"""

import argparse
import sys

from allinone.io.program import prog_of

PARSERS = ('validate',)  # by the first argument


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ['validate']:
        parser = argparse.ArgumentParser(
            prog=prog_of('validate'),
            description='Check a submission, and score it against annotations.',
            epilog='Exit status: 0; 1 if the submission has errors, which are printed; '
            '2 if a file cannot be read.',
        )
        parser.add_argument('file', help='submission file')
        parser.add_argument(
            '--ann', metavar='ROOT', help="folder of annotations in Track 1's layout"
        )
        parser.add_argument(
            '--split',
            default='val',
            help='split of the annotations to compare with (default: %(default)s)',
        )
        parser.set_defaults(validate=True)
        return parser.parse_args(argv[1:])
    parser = argparse.ArgumentParser(
        description="Predict a config's test sets and write the submission. "
        '"%(prog)s validate FILE" checks one.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, help='JSON file for the submission')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint with any types, which can run code',
    )
    parser.add_argument('--tasks', nargs='+', help='only these tasks (default: all)')
    parser.add_argument('--work-dir', help='folder for the log (default: work_dirs/NAME_OF_CONFIG)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='change config keys')
    parser.set_defaults(validate=False)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    # Imported late: the libraries take seconds to import, and --help does not need them.
    from allinone.cli.programs.submit import submit, validate

    return validate(args) if args.validate else submit(args)

"""The tables of pretrained weights on pages, checked against mmpretrain's model zoo."""

import re
from importlib.metadata import files

import yaml

ROW = re.compile(r'^\| \S+ \| `(\S+)` \| `(\S+)`(?: \(there `(\S+)`\))? \|$', re.MULTILINE)


def files_of_weights(page: str) -> set[str]:
    """Names of the files in the table of a page, each of which the zoo has under its name there."""
    zoo = {
        model['Name']: model.get('Weights')
        for path in files('onedl-mmpretrain')
        if path.match('.mim/configs/*/metafile.yml')
        for model in yaml.load(path.locate().read_text(), yaml.CSafeLoader).get('Models') or ()
    }
    rows = ROW.findall(page)
    for name, file, there in rows:
        assert zoo[name].endswith('/' + (there or file)), name
    return {file for _, file, _ in rows}

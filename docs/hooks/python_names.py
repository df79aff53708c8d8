"""The page of the names that Python code imports, from their docstrings."""

import allinone

PAGE = 'reference/python.md'
# Besides those of ``allinone`` itself: what they return, and what is derived from
OTHERS = {
    'Results': (
        'allinone.inference.results.Result',
        'allinone.inference.results.Results',
        'allinone.tasks.results.base.TaskResult',
        'allinone.tasks.results.boxes.DetectionResult',
        'allinone.tasks.results.classes.ClassificationResult',
        'allinone.tasks.results.classes.MultiLabelResult',
        'allinone.tasks.results.label_maps.SegmentationResult',
    ),
    'Errors': ('allinone.errors',),
    'To derive from': ('allinone.balancers.base.Balancer', 'allinone.tasks.base.TaskKind'),
}
HEAD = """\
# Python
`import allinone` takes no time; each name is imported when it is first used.
[inference.md](../inference.md) and [configs.md](../configs.md) have examples.
"""


def page() -> str:
    """Markdown of all names."""
    own = [f'{allinone._PLACES[name]}.{name}' for name in allinone.__all__]
    parts = [HEAD, '## Names of `allinone`', *(f'::: {path}' for path in own)]
    for title, paths in OTHERS.items():
        parts += [f'## {title}', *(f'::: {path}' for path in paths)]
    return '\n\n'.join(parts)


def on_files(files, config):
    """Called by MkDocs with the files that it found."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files

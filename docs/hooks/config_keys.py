"""Pages of the config keys: each class that a config can name, from its docstring."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / 'allinone'
# Registries by page, with its title and what its classes are in a config
PAGES = {
    'model': (
        'The model',
        'What `model` and its parts can be, besides the models of the libraries.',
        ('MODELS', 'WEIGHT_INITIALIZERS'),
    ),
    'balancers': (
        'Balancers',
        '`model.balancer`; [balancing.md](../balancing.md) compares them.',
        ('BALANCERS',),
    ),
    'schedules': (
        'Schedules of tasks',
        '`train_cfg.schedule`: which tasks an iteration trains.',
        ('TASK_SCHEDULES',),
    ),
    'loops': (
        'Loops and runners',
        '`train_cfg`, `val_cfg`, `test_cfg`, `runner_type`, `model_wrapper_cfg` and '
        '`optim_wrapper.constructor`.',
        ('LOOPS', 'RUNNERS', 'MODEL_WRAPPERS', 'OPTIM_WRAPPER_CONSTRUCTORS'),
    ),
    'hooks': (
        'Hooks and logs',
        '`default_hooks`, `custom_hooks` and `visualizer.vis_backends`, besides those of MMEngine; '
        '[epochs.md](../epochs.md) says what each of those does here.',
        ('HOOKS', 'VISBACKENDS'),
    ),
    'data': (
        'Data',
        'Data sets, transforms and samplers of `train_dataloader` and others, besides those of the '
        'libraries.',
        ('DATASETS', 'TRANSFORMS', 'DATA_SAMPLERS'),
    ),
    'metrics': ('Metrics', 'Metrics of evaluators, besides those of the libraries.', ('METRICS',)),
    'kinds': (
        'Kinds of tasks',
        '`kind` of a task; [add_a_kind.md](../add_a_kind.md) adds one.',
        ('TASK_KINDS',),
    ),
}


def registered() -> dict[str, list[tuple[str, str]]]:
    """``{registry: [(class, its dotted path)]}``, read without importing a library."""
    found = defaultdict(list)
    for path in sorted(PACKAGE.rglob('*.py')):
        module = '.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            for decorator in getattr(node, 'decorator_list', ()):
                call = getattr(decorator, 'func', None)
                if isinstance(call, ast.Attribute) and call.attr == 'register_module':
                    registry = ast.unparse(call.value)
                    found[registry].append((node.name, f'{module}.{node.name}'))
    return found


def pages() -> dict[str, str]:
    """``{path: Markdown}``.

    Raises:
        ValueError: If a registry is on no page.
    """
    found = registered()
    missing = set(found) - {registry for _, _, used in PAGES.values() for registry in used}
    if missing:
        raise ValueError(f'{missing} of allinone.registry are on no page; add them to PAGES')
    return {
        f'reference/{name}.md': '\n\n'.join(
            [
                f'# {title}',
                words,
                *(
                    f'::: {path}'
                    for registry in used
                    for _, path in sorted(found[registry], key=lambda item: item[0].lower())
                ),
            ]
        )
        for name, (title, words, used) in PAGES.items()
    }


def on_files(files, config):
    """Called by MkDocs with the files that it found."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files

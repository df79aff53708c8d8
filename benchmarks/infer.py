"""One-pass prediction against the upstream models, and against its lower bound."""

import statistics
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from allinone.checkpoint.loading import state_dict_of
from allinone.cli.programs.infer import InferRun
from allinone.data.loaders import build_loader
from allinone.errors import ConfigError, DataError
from allinone.inference.inferencer import AllInOneInferencer
from allinone.inference.inputs import flat
from allinone.inference.model_source import find_model
from allinone.io.images import read_image
from allinone.models.shared_backbone import run_backbone
from allinone.registry.kinds import kind_of_class

from .measure import device, median_interval, seconds
from .step import upstream_model

BATCHES = (1, 8)
# Relative to the time of backbone and heads; relative to the bare model's images per second.
PASS_LIMIT, TOOL_LIMIT = 1.05, 0.85
TOOL_SHARE = 4  # The tool has fewer rounds, because each is over all images.


class _Passes:
    """The same images through the joint model, its parts, and its upstream models.

    Args:
        inferencer: Inferencer with the joint model.
        upstream: ``{task: upstream model}`` with the joint model's weights.
        inputs: uint8 BGR ``(3, H, W)`` each, all of one size.
    """

    def __init__(
        self,
        inferencer: AllInOneInferencer,
        upstream: Mapping[str, nn.Module],
        inputs: list[Tensor],
    ):
        self.model, self.upstream, self.inputs = inferencer.model, upstream, inputs
        self.sizes = [tuple(x.shape[-2:]) for x in inputs]
        self._cached: tuple[Tensor, tuple[Tensor, ...]] | None = None

    @torch.no_grad()
    def joint(self) -> dict[str, list]:
        return self.model.predict(self.inputs)

    @torch.no_grad()
    def backbone(self) -> None:
        """Normalise, and run the backbone."""
        batch = self.model.data_preprocessor(dict(inputs=list(self.inputs)), False)['inputs']
        self._cached = batch, run_backbone(self.model.backbone, batch)

    @torch.no_grad()
    def head(self, task: str) -> list:
        """Run a task on the feature maps of the last :meth:`backbone`."""
        model, batch = self.model.tasks[task], self._cached[0]
        model.backbone._cached = self._cached
        try:
            return model(batch, self.model.kinds[task].samples(batch, self.sizes), mode='predict')
        finally:
            model.backbone._cached = None

    @torch.no_grad()
    def alone(self, model: nn.Module) -> list:
        """Run the ``test_step`` of a model."""
        blank = torch.empty(len(self.inputs), 3, *self.sizes[0], device='meta')
        samples = kind_of_class('model', type(model)).samples(blank, self.sizes)
        return model.test_step(dict(inputs=list(self.inputs), data_samples=samples))


def measure_infer(
    config: str,
    checkpoint: str,
    files: Sequence[str] = (),
    rounds: int = 20,
    options: list[str] | None = None,
) -> dict:
    """Times of prediction and of the tool, in alternation on the same images.

    Args:
        config: A joint config.
        checkpoint: Its checkpoint.
        files: Files or folders. Default: the test images of the last task that has any.
        rounds: Measured rounds, after one warm-up round; the tool has a quarter of them.
        options: ``KEY=VALUE`` changes of the config.

    Returns:
        ``device``, ``threads``, ``images``, ``size`` (H, W) of the model's input, ``rounds``;
        ``batches``: for 1 and 8 images per pass ``joint_s``, ``backbone_s``, ``heads_s``,
        ``upstream_s`` (seconds, medians), ``of_upstream`` and ``of_limit`` (joint over the sum of
        the upstream models, and over backbone and heads; medians with ``..._interval``, 95 %),
        ``holds``, and ``equal``: for each task whether the joint predictions equal those of its
        ``test_step`` and its upstream model, bit for bit; ``tool``: images per second of tool and
        bare model, their ``ratio``, ``holds``.

    Raises:
        ConfigError: If config or checkpoint cannot be used, or a backbone has adapters.
        DataError: If there are no images, or fewer than 8 of one size.
    """
    source = find_model(config, checkpoint, options)
    inferencer = AllInOneInferencer(source, None, device(), mode='one_pass')
    model = inferencer.model
    if any(view.adapter is not None for view in model.views()):
        raise ConfigError('a task has an adapter, so the backbone runs more than once an image')
    paths = _paths(source.cfg, files)
    images = [inferencer.mode.resize(read_image(path)) for path in paths]
    shape = statistics.mode(image.shape for image in images)
    alike = [image for image in images if image.shape == shape]
    if len(alike) < max(BATCHES):
        raise DataError(
            f'of {len(paths)} images {len(alike)} have one size; give at least {max(BATCHES)}, '
            'or set inference.scale'
        )
    upstream = _upstream_models(inferencer, state_dict_of(source.checkpoint, source.path))
    inputs = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in alike]
    return dict(
        device=torch.cuda.get_device_name() if device().type == 'cuda' else 'cpu',
        threads=torch.get_num_threads(),
        images=len(paths),
        size=list(shape[:2]),
        rounds=rounds,
        batches={
            str(batch): _measure_passes(_Passes(inferencer, upstream, inputs[:batch]), rounds)
            for batch in BATCHES
        },
        tool=_measure_tool(
            [config, checkpoint], paths, inputs, model, options, max(1, rounds // TOOL_SHARE)
        ),
    )


def _paths(cfg, files: Sequence[str]) -> list[str]:
    def refuse(error: DataError) -> None:
        raise error

    if files:
        return list(flat(list(files), refuse))
    for task in reversed(list(cfg.get('test_dataloader') or {})):
        loader_cfg = dict(cfg.test_dataloader[task], num_workers=0)
        dataset = build_loader(task, task, loader_cfg, 0, None, False, False).dataset
        return [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
    raise DataError('the config has no test images; name some')


def _upstream_models(inferencer: AllInOneInferencer, state: Mapping) -> dict[str, nn.Module]:
    models = {}
    for task in inferencer.model.tasks:
        model = upstream_model(inferencer.model, inferencer.cfg.model, task)
        prefix = f'tasks.{task}.'
        own = {name: value for name, value in state.items() if name.startswith('backbone.')}
        own |= {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix) and '.distillation.' not in name
        }
        model.load_state_dict(own)
        models[task] = model.to(inferencer.device).eval()
    return models


def _measure_passes(passes: _Passes, rounds: int) -> dict:
    heads = {('head', task): partial(passes.head, task) for task in passes.upstream}
    upstream = {('upstream', task): partial(passes.alone, m) for task, m in passes.upstream.items()}
    # The order alternates, because upstream models evict the weights of the next call from caches.
    joint, parts = {('joint',): passes.joint}, {('backbone',): passes.backbone, **heads}
    orders = joint | parts | upstream, parts | joint | upstream
    times: dict[tuple[str, ...], list[float]] = {name: [] for name in orders[0]}
    for number in range(rounds + 1):
        for name, call in orders[number % 2].items():
            taken = seconds(call)
            if number:
                times[name].append(taken)
    sums = {
        kind: [sum(times[name][i] for name in times if name[0] == kind) for i in range(rounds)]
        for kind in ('joint', 'backbone', 'head', 'upstream')
    }
    limit = [backbone + heads for backbone, heads in zip(sums['backbone'], sums['head'])]
    of_limit, *limit_interval = median_interval([a / b for a, b in zip(sums['joint'], limit)])
    of_upstream, *upstream_interval = median_interval(
        [a / b for a, b in zip(sums['joint'], sums['upstream'])]
    )

    def median(kind: str) -> dict[str, float]:
        return {name[1]: statistics.median(times[name]) for name in times if name[0] == kind}

    return dict(
        joint_s=statistics.median(sums['joint']),
        backbone_s=statistics.median(sums['backbone']),
        heads_s=median('head'),
        upstream_s=median('upstream'),
        of_limit=of_limit,
        of_limit_interval=limit_interval,
        of_upstream=of_upstream,
        of_upstream_interval=upstream_interval,
        holds=of_limit <= PASS_LIMIT,
        equal=_equal(passes),
    )


def _equal(passes: _Passes) -> dict[str, dict[str, bool]]:
    joint = passes.joint()
    return {
        task: dict(
            test_step=same_predictions(joint[task], passes.alone(passes.model.tasks[task])),
            upstream=same_predictions(joint[task], passes.alone(upstream)),
        )
        for task, upstream in passes.upstream.items()
    }


def same_predictions(samples: Sequence, others: Sequence) -> bool:
    """Whether all predicted tensors of two lists of data samples are equal, bit for bit."""
    return len(samples) == len(others) and all(
        _tensors(one).keys() == _tensors(other).keys()
        and all(torch.equal(value, _tensors(other)[name]) for name, value in _tensors(one).items())
        for one, other in zip(samples, others)
    )


def _tensors(sample) -> dict[str, Tensor]:
    found = {}
    for name, value in sample.items():
        if not name.startswith(('pred_', 'seg_')):
            continue
        if isinstance(value, Tensor):
            found[name] = value
        else:
            found |= {f'{name}.{part}': tensor for part, tensor in value.items()}
    return found


def _measure_tool(
    model: list[str],
    paths: list[str],
    inputs: list[Tensor],
    bare: nn.Module,
    options: list[str] | None,
    rounds: int,
) -> dict:
    """Images per second of ``tools/infer.py`` (reading to writing) and of the bare model."""
    batch = max(BATCHES)
    chunks = [inputs[start : start + batch] for start in range(0, len(inputs), batch)]

    def alone() -> None:
        for chunk in chunks:
            bare.predict(chunk)

    rates = []
    with tempfile.TemporaryDirectory() as folder:
        args = Namespace(
            model=model[0],
            inputs=[model[1], *paths],
            out_dir=folder,
            resume=False,
            tasks=None,
            classify_boxes=None,
            embed_boxes=None,
            scale='tested',
            mode='one_pass',
            device=str(device()),
            batch_size=batch,
            score_thr=0.3,
            cfg_options=options,
        )
        run = InferRun(args)
        for number in range(rounds + 1):
            taken = seconds(partial(run.images, paths)), seconds(alone)
            if number:
                rates.append((len(paths) / taken[0], len(inputs) / taken[1]))
    ratio, *interval = median_interval([tool / model for tool, model in rates])
    return dict(
        tool=statistics.median(tool for tool, _ in rates),
        model=statistics.median(model for _, model in rates),
        batch=batch,
        rounds=rounds,
        ratio=ratio,
        interval=interval,
        holds=ratio >= TOOL_LIMIT,
    )


def infer_table(found: dict) -> str:
    """The result of :func:`measure_infer` as a Markdown table with an explanation."""
    tasks = list(found['batches']['1']['heads_s'])
    names = ' | '.join(f'{task} head | {task} upstream' for task in tasks)
    lines = [
        f'| images a pass | one pass | backbone | {names} | of backbone + heads '
        '| of upstream models |',
        '|---|' + '---:|' * (4 + 2 * len(tasks)),
    ]
    for batch, row in found['batches'].items():
        parts = ' | '.join(
            f'{1e3 * row["heads_s"][task]:.1f} | {1e3 * row["upstream_s"][task]:.1f}'
            for task in tasks
        )
        lines.append(
            f'| {batch} | {1e3 * row["joint_s"]:.1f} | {1e3 * row["backbone_s"]:.1f} | {parts} | '
            f'{_ratio(row, "of_limit")} | {_ratio(row, "of_upstream")} |'
        )
    tool = found['tool']
    low, high = tool['interval']
    equal = all(
        same
        for row in found['batches'].values()
        for part in row['equal'].values()
        for same in part.values()
    )
    return '\n'.join(
        [
            *lines,
            '',
            f'Milliseconds, medians of {found["rounds"]} rounds on {found["device"]}, '
            f'{found["threads"]} CPU threads, images of {found["size"][1]} x {found["size"][0]}; '
            f'95 % intervals. At most {PASS_LIMIT} of backbone + heads: '
            + _yes(all(row['holds'] for row in found['batches'].values())),
            f'Predictions equal to each test_step and upstream model, bit for bit: {_yes(equal)}',
            f'tools/infer.py: {tool["tool"]:.2f} images/s, the bare model {tool["model"]:.2f}: '
            f'{tool["ratio"]:.3f} ({low:.3f} to {high:.3f}), over {found["images"]} images, '
            f'{tool["batch"]} a pass. At least {TOOL_LIMIT}: {_yes(tool["holds"])}',
        ]
    )


def _ratio(row: dict, name: str) -> str:
    low, high = row[f'{name}_interval']
    return f'{row[name]:.3f} ({low:.3f} to {high:.3f})'


def _yes(holds: bool) -> str:
    return 'yes' if holds else 'no'

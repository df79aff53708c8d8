"""Parameters, operations and memory of a joint model and its tasks."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from mmcv.transforms import Resize
from mmengine.config import Config
from torch import Tensor

from allinone.config.build_errors import named
from allinone.config.feature_maps import on_meta
from allinone.config.loading import load_config
from allinone.errors import ConfigError
from allinone.inference.scale import tested_resizes
from allinone.io.text import cut_short
from allinone.models.allinone import AllInOne
from allinone.models.image_sizes import explain_size
from allinone.models.joint import build_network
from allinone.models.shared_backbone import backbone_pass

from .cost_ledger import SHARED, Ledger
from .shapes_only import shapes_only

SIZE = (640, 640)  # Height and width of the image where no test pipeline says one
# Keys of a model that change nothing that is counted
UNCOUNTED = ('init_cfg', 'checkpoint', 'pretrained', 'compile_backbone')


@dataclass(frozen=True)
class Part:
    """A part of a joint model.

    Attributes:
        name: ``backbone``, ``shared_neck``, or the name of a task.
        shared: Whether it runs once for several tasks.
        parameters: Number of its parameters.
        weights: Bytes of its parameters and buffers.
        flops: Floating-point operations on one image.
        activations: Bytes that it saves for the backward pass of one image.
    """

    name: str
    shared: bool
    parameters: int
    weights: int
    flops: int
    activations: int


@dataclass(frozen=True)
class Complexity:
    """What a joint model costs for one image.

    Attributes:
        config: Path of its config.
        digest: Of what in the config the values depend on.
        size: Height and width of the image in pixels.
        parts: The shared parts, then the tasks.
        alone: Operations of the model of each task alone, with a backbone of its own.
        note: Why the model ran on the CPU, or None.
    """

    config: str
    digest: str
    size: tuple[int, int]
    parts: Sequence[Part]
    alone: Mapping[str, int]
    note: str | None = None

    @property
    def shared_parameters(self) -> float:
        """Fraction of the parameters in the shared parts."""
        return self._shared('parameters')

    @property
    def shared_flops(self) -> float:
        """Fraction of the operations in the shared parts."""
        return self._shared('flops')

    @property
    def saved(self) -> float:
        """Fraction of the operations of one model a task that a single pass saves."""
        return 1 - self.total('flops') / sum(self.alone.values())

    def total(self, name: str) -> int:
        """The sum of an attribute over all parts."""
        return sum(getattr(part, name) for part in self.parts)

    def _shared(self, name: str) -> float:
        return sum(getattr(part, name) for part in self.parts if part.shared) / self.total(name)


def complexity(
    path: str, size: tuple[int, int] | None = None, tasks: Sequence[str] | None = None
) -> Complexity:
    """Count what the joint model of a config costs for one image.

    Nothing is computed where the model runs on the meta device, which has shapes without values.

    Args:
        path: The config.
        size: Height and width of the image. Default: the test scale of :func:`default_size`.
        tasks: Names of the tasks that count. Default: all.

    Raises:
        ConfigError: If the config has no joint model or not these tasks, or it fails on an image
            of this size.
    """
    cfg = load_config(path)
    model_cfg = cfg.get('model')
    for key in ('backbone', 'tasks'):
        if not isinstance(model_cfg, Mapping) or not isinstance(model_cfg.get(key), Mapping):
            raise ConfigError(f'{path} has no model.{key}; give the config of a joint model')
    cfg.model.pop('compile_backbone', None)  # Compiled layers do not run without values.
    failures: list[Exception] = []
    for build, context, mode in ATTEMPTS:
        model = build(cfg)
        if model is None:
            continue
        names = model.task_names(tasks)
        seen = size or default_size(cfg, model, names)
        try:
            with context():
                parts, alone = _measured(model, names, seen, mode)
        except Exception as error:
            _refuse_size(cfg, error)
            failures.append(error)
            continue
        note = None
        if context is nullcontext:
            note = f'Run with values on the CPU in {mode!r} mode: {_short(failures[0])}'
        return Complexity(path, digest_of(cfg, size), seen, parts, alone, note)
    raise ConfigError(f'{path}: {failures[-1]}') from failures[-1]


def default_size(cfg: Config, model: AllInOne, tasks: Iterable[str]) -> tuple[int, int]:
    """Height and width of the largest test images of the tasks that see whole images.

    It is the scale of their ``Resize``, padded as the model pads; :data:`SIZE` without any. A scale
    that keeps the ratio and has sides beyond 2:1 limits the shorter side alone, as that of ADE20K;
    then the image is a square of it.
    """
    whole = [task for task in tasks if model.kinds[task].sees_whole_images]
    resizes = filter(None, tested_resizes(cfg, whole).values())
    height, width = max(map(_scale_of, resizes), key=math.prod, default=SIZE)
    divisor = getattr(model.data_preprocessor, 'pad_size_divisor', 1)
    return math.ceil(height / divisor) * divisor, math.ceil(width / divisor) * divisor


def _scale_of(resize: Resize) -> tuple[int, int]:
    width, height = resize.scale
    short, long = sorted(resize.scale)
    return (short, short) if resize.keep_ratio and long > 2 * short else (height, width)


def digest_of(cfg: Config, size: tuple[int, int] | None = None) -> str:
    """A digest of what :func:`complexity` reads of a config; names of weights do not count.

    Args:
        cfg: The config.
        size: As of :func:`complexity`.
    """
    resizes = tested_resizes(cfg, cfg.model.tasks) if size is None else {}
    scales = {
        task: resize and [*resize.scale, resize.keep_ratio] for task, resize in resizes.items()
    }
    plain = [_counted_keys(cfg.model.to_dict()), size, scales]
    return hashlib.sha256(json.dumps(plain, default=str).encode()).hexdigest()[:12]


def _counted_keys(value):
    if isinstance(value, Mapping):
        return {key: _counted_keys(value[key]) for key in sorted(value) if key not in UNCOUNTED}
    if isinstance(value, (list, tuple)):
        return [_counted_keys(one) for one in value]
    return value


def _on_meta(cfg: Config) -> AllInOne | None:
    try:
        with on_meta():
            return build_network(cfg).eval()
    except Exception:
        return None  # Its layers compute with values, or the config is wrong.


def _built(cfg: Config) -> AllInOne:
    with named('model'), torch.random.fork_rng([]):
        return build_network(cfg).eval()


def _moved_to_meta(cfg: Config) -> AllInOne:
    return _built(cfg).to('meta')


def _refuse_size(cfg: Config, error: Exception) -> None:
    sentence = explain_size(cfg.model.backbone, error.__cause__ or error, 'give another --size')
    if sentence is not None:
        raise ConfigError(sentence) from error


# The last is for models whose 'tensor' mode wants annotations.
ATTEMPTS: Sequence[tuple[Callable, Callable, str]] = (
    (_on_meta, shapes_only, 'tensor'),
    (_moved_to_meta, shapes_only, 'tensor'),
    (_built, nullcontext, 'tensor'),
    (_built, nullcontext, 'predict'),
)


def _measured(
    model: AllInOne, tasks: Sequence[str], size: tuple[int, int], mode: str = 'tensor'
) -> tuple[list[Part], dict[str, int]]:
    """The parts of a pass for all tasks, and the operations of a model of each task alone."""
    ledger = _passed(model, tasks, size, mode)
    used = set(model.shared_part(tasks).modules())
    shared = {name: part for name in SHARED if (part := getattr(model, name, None)) in used}
    modules = {**shared, **{task: model.tasks[task] for task in tasks}}
    parts = [
        Part(
            name=name,
            shared=name in shared,
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            weights=sum(map(_bytes, (*module.parameters(), *module.buffers()))),
            flops=ledger.flops[name],
            activations=ledger.activations[name],
        )
        for name, module in modules.items()
    ]
    alone = {task: ledger.flops[task] for task in tasks}
    for task in tasks:
        # A task with an adapter has a pass of its own, which counts as the task's.
        if model.view(task).adapter is None:
            seen = set(model.shared_part([task]).modules())
            alone[task] += sum(ledger.flops[name] for name in shared if shared[name] in seen)
    return parts, alone


def _passed(model: AllInOne, tasks: Sequence[str], size: tuple[int, int], mode: str) -> Ledger:
    """Run the model on one image, in ``'tensor'`` mode without reading predictions."""
    parameter = next(model.backbone.parameters())
    image = torch.zeros(1, 3, *size, device=parameter.device, dtype=parameter.dtype)
    views = {task: model.view(task) for task in tasks}
    shared = model.shared_part([task for task in tasks if views[task].adapter is None])
    ledger = Ledger(model)
    with torch.enable_grad(), torch.random.fork_rng([]), ledger.open(), ExitStack() as stack:
        with _running('model.backbone', size):
            stack.enter_context(backbone_pass(shared, list(views.values()), image))
        for task in tasks:
            samples = model.kinds[task].samples(image, [size])
            with (
                _running(f'model.tasks.{task}', size),
                ledger.part(task, whole=views[task].adapter is not None),
            ):
                if mode == 'tensor':
                    model.kinds[task].run_network(model.tasks[task], image, samples)
                else:
                    model.tasks[task](image, samples, mode=mode)
    return ledger


@contextmanager
def _running(key: str, size: tuple[int, int]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        remedy = 'give another --size'
        if key.startswith('model.tasks.'):
            remedy = f'count the other tasks by --tasks, or {remedy}'
        raise ConfigError(
            f'{key} fails on a blank image of {size[0]} x {size[1]} pixels (height x width): '
            f'{_short(error)}; {remedy}'
        ) from error


def _short(error: BaseException) -> str:
    """An error in one line."""
    error = error.__cause__ or error
    return cut_short(f'{type(error).__name__}: {" ".join(str(error).split())}', 200)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()

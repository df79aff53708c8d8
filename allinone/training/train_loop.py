"""Training over the data sets of several sources in a schedule."""

import time
from collections.abc import Mapping
from math import ceil
from signal import Signals

from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.hooks import EMAHook
from mmengine.runner import IterBasedTrainLoop
from mmengine.runner.utils import calc_dynamic_intervals

from allinone.config.check import STAGES
from allinone.config.fractions import interval_in, point_in
from allinone.config.sources import first_data, label_weights_of
from allinone.data.class_names import require_same_classes, splits_of, splits_of_config
from allinone.errors import ConfigError
from allinone.io.renames import renamed_arguments
from allinone.io.seeding import seed_all
from allinone.io.text import shortened
from allinone.registry import LOOPS, TASK_SCHEDULES
from allinone.registry.options import check_flag
from allinone.tasks.class_lists import METAINFO, misplaced

from .accumulation import ended_with, iterations_of
from .annotated_classes import check_annotated_classes
from .dry_run import dry_run
from .epochs import in_iterations, iterations_per_epoch, max_epochs_part, require_epochs
from .eval_loop import BrokenOff, build_loaders
from .hooks.checkpoint import CheckpointHook
from .out_of_memory import enough_memory
from .passes import max_iters_of
from .resume import resume_command
from .signals import Stopped
from .sources import batch_sizes, check_micro_batches, check_schedule, unit


@LOOPS.register_module()
class MultiTaskTrainLoop(IterBasedTrainLoop):
    """Iterations over the sources' data sets in a schedule.

    A source without ``tasks`` is named like the task that it serves.

    Args:
        runner: The runner.
        dataloader: ``{source: dataloader config}``.
        max_iters: Number of training steps.
        max_epochs: In its place, where there is one source: number of times that its data set is
            gone through. ``val_begin``, ``val_interval`` (default: 1) and ``dynamic_intervals``
            then count epochs, too.
        epochs: In its place, ``dict(source=SOURCE, n=PASSES)``: number of times that the data set
            of this source is gone through. The others count iterations, and ``val_interval`` is one
            pass by default.
        warmup: Iterations in which the learning rate rises, or a fraction of the training
            (:func:`~allinone.training.schedule_length.follow_length`).
        val_begin: First step after which validation may run.
        val_interval: Steps between validations, which come after whole optimizer steps: with
            ``optim_wrapper.accumulative_counts`` after the one that a multiple of it is in. Or a
            fraction of the training. Default: 1000.
        dynamic_intervals: ``[(step, val_interval), ...]``, as in mmengine.
        schedule: Config of one of ``TASK_SCHEDULES``, which chooses sources. Default: every source
            in every step.
        micro_batches: ``{source: n}``: a step of this source is of n batches, one after the other
            (so that they need the memory of one). Default: 1 each.
        check_data: Compare annotations, images and label maps before the first step.
        dry_run: Try a step and a validation of each task before the first step
            (:func:`~allinone.training.dry_run.dry_run`).

    Raises:
        ConfigError: If ``micro_batches`` names no source, a number is none, or not exactly one of
            ``max_iters``, ``max_epochs`` and ``epochs`` is given.
    """

    # Whether dropout, mixup of a batch and the like are a function of (seed, rank, step), so that
    # resuming needs no state; off only to measure what that costs.
    seeded = True
    _epoch: int

    @renamed_arguments(accumulate='micro_batches')
    def __init__(
        self,
        runner,
        dataloader: Mapping[str, dict],
        max_iters: int | None = None,
        val_begin: int = 1,
        val_interval: int | float | None = None,
        dynamic_intervals=None,
        schedule: dict | None = None,
        micro_batches: Mapping[str, int] | None = None,
        check_data: bool = True,
        dry_run: bool = True,
        max_epochs: int | None = None,
        epochs: Mapping | None = None,
        warmup: int | float | None = None,
    ):
        self.micro_batches = check_micro_batches(micro_batches, dataloader)
        self.label_weights = label_weights_of(dataloader)
        self.check_data = check_data
        check_flag('train_cfg.dry_run', dry_run)
        self.dry_run = dry_run
        loaders = build_loaders(runner, 'train_dataloader', dataloader, True, check_data)
        if check_data:
            model = getattr(runner.model, 'module', runner.model)
            for part in loaders.parts:
                key, task = f'train_dataloader.{part.key}', part.task
                model.kinds[task].check_training(key, model.tasks[task], part.dataset)
        check_schedule(schedule, loaders.tasks)
        self.epoch_length = iterations_per_epoch(loaders.loaders, self.micro_batches)
        self.schedule = TASK_SCHEDULES.build(
            schedule or dict(type='AllTasks'),
            default_args=dict(sizes=loaders.sizes, seed=runner.seed),
        )
        max_iters, val_begin, val_interval, dynamic_intervals = self._in_iterations(
            loaders.loaders,
            dict(max_iters=max_iters, max_epochs=max_epochs, epochs=epochs),
            val_begin,
            val_interval,
            dynamic_intervals,
        )
        self.warmup = None if warmup is None else point_in(warmup, max_iters)
        super().__init__(runner, loaders, max_iters, val_begin, val_interval, dynamic_intervals)
        self._max_epochs = ceil(self._max_iters / self.epoch_length) if self.epoch_length else 1
        self._begun_epoch = 0
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(
            val_interval, dynamic_intervals
        )

    def _in_iterations(self, loaders, lengths: dict, begin: int, interval, dynamic) -> tuple:
        """``max_iters``, ``val_begin``, ``val_interval`` and ``dynamic_intervals``."""
        if list(lengths.values()).count(None) != 2:
            given = [f'train_cfg.{name} is {value!r}' for name, value in lengths.items()]
            raise ConfigError(f'{", ".join(given[:2])} and {given[2]}; give one of them')
        max_iters, max_epochs, epochs = lengths.values()
        default = 1000
        if max_epochs is not None:
            require_epochs(max_epochs_part(max_epochs), loaders, self.micro_batches)
            length = self.epoch_length or 1
            max_iters, begin, default, dynamic = in_iterations(
                length, max_epochs, begin, 1, dynamic
            )
            interval = interval * length if isinstance(interval, int) else interval
        elif epochs is not None:
            varies = self.schedule.one_task or self.schedule.uses_metrics
            name = type(self.schedule).__name__ if varies else None
            max_iters, default = max_iters_of(epochs, loaders, self.micro_batches, name)
        interval = default if interval is None else interval_in(interval, max_iters)
        return max_iters, begin, interval, dynamic

    def run(self):
        """Train from the current iteration to ``max_iters``."""
        self._count_epochs()
        self.begin()
        self._end_epoch()
        if self._validation_was_due():
            self._validate()
        while self._iter < self._max_iters and not self.stop_training:
            self.step()
            self._end_epoch()
            self._decide_current_val_interval()
            if self._validate_now():
                self._stop_if_asked(validation_due=True)
                self._validate()
        if not self.epoch_length or self._iter % self.epoch_length:
            self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def begin(self) -> None:
        """What comes before the first step of a start."""
        if self.check_data:
            self._compare_classes()
        self._start()
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        info = self.runner.message_hub.runtime_info
        self.dataloader.seek(info.get('batches_drawn', {}), get_world_size())
        self.runner.message_hub.update_info('batches_drawn', self.dataloader.batches)
        self._first = self._iter
        if self.dry_run:
            dry_run(self.runner)
        self.runner.call_hook('before_first_step')
        # To the end of the run: what comes after the last step is short, and must be whole.
        self.runner.stop_signals.deferring = True

    def step(self) -> None:
        """One training step.

        Raises:
            Stopped: If a signal asked for it; the state is saved.
        """
        self._stop_if_asked()
        if self._begun_epoch != self._epoch:
            self._begun_epoch = self._epoch
            self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        data, times = self._draw(self.schedule(self._iter))
        self.run_iter(data, times)

    def _count_epochs(self) -> None:
        """The epoch that a start begins in.

        A checkpoint of the last iteration of an epoch is saved before ``after_train_epoch`` is
        called. One of an earlier version of this suite has no epochs.
        """
        if self.epoch_length:
            epoch, done = divmod(self._iter, self.epoch_length)
            if done or self._epoch != epoch - 1:
                self._epoch = epoch
            self._begun_epoch = self._epoch

    def _end_epoch(self) -> None:
        """Tell the hooks of the end of an epoch, where one task is trained."""
        if self.epoch_length and self._epoch < self._iter // self.epoch_length:
            self.runner.call_hook('after_train_epoch')
            self._epoch += 1

    def _validation_was_due(self) -> bool:
        """Whether the step that a resumed run goes on from has yet to be validated.

        The checkpoint of a step is saved before its validation. For methods that follow
        validation that is a part of the run; other runs catch up only on what a signal broke off.
        """
        info = self.runner.message_hub.runtime_info
        return bool(
            self.runner._resume
            and self._iter
            and self._validate_now()
            and info.get('validated') != self._iter
            and (self.uses_metrics or info.get('validation_due') == self._iter)
        )

    def _stop_if_asked(self, validation_due: bool = False) -> None:
        iterations = ended_with(self.runner, self._iter)
        signum = iterations and self.runner.stop_signals.agreed(self._iter, iterations)
        if signum:
            self._stop(signum, validation_due)

    def _stop(self, signum: int, validation_due: bool) -> None:
        """Save, and leave the training.

        Raises:
            Stopped: Always.
        """
        done = f'{Signals(signum).name}: stopped after step {self._iter}'
        for hook in self.runner.hooks:
            if isinstance(hook, CheckpointHook):
                break
        else:
            raise Stopped(signum, f'{done}, and nothing saved: there is no CheckpointHook')
        if self._iter == self._first:
            hook.finish(self.runner)
            raise Stopped(
                signum, f'{done}, before the first of this start; nothing was to be saved'
            )
        if validation_due:
            self.runner.message_hub.update_info('validation_due', self._iter)
        try:
            path = hook.save_now(self.runner)
        finally:
            # A launcher kills the others soon after the first process ends.
            barrier()
        self.runner.call_hook('after_run')
        raise Stopped(signum, f'{done}, saved in {path}. Go on with: {resume_command()}')

    def _start(self) -> None:
        """Tell model, balancer and schedule of this training; refuse what cannot work together."""
        sources = self.dataloader.tasks
        model = getattr(self.runner.model, 'module', self.runner.model)
        model.bind_sources(sources, self.label_weights)
        check_annotated_classes(model, self.dataloader.parts)
        balancer = self._balancer
        alone = [source for source, tasks in sources.items() if len(tasks) == 1]
        compares = balancer.requires != 'losses' or balancer.regulariser is not None
        if self.schedule.one_task and compares and len(sources) > 1 and alone:
            raise ConfigError(
                f'train_cfg.schedule.type is {type(self.schedule).__name__!r}, one '
                f'{unit(sources)} a step, '
                f'but model.balancer.type {type(balancer).__name__!r} compares the gradients of '
                "several; use train_cfg.schedule=dict(type='AllTasks')"
            )
        if balancer.regulariser is not None and set(self.micro_batches.values()) - {1}:
            raise ConfigError(
                f'train_cfg.micro_batches is {self.micro_batches}, but model.balancer.type '
                f'{type(balancer).__name__!r} keeps the graphs of a step; use '
                'optim_wrapper.accumulative_counts'
            )
        validation = self.runner.val_loop
        evaluated = {} if validation is None else validation.metric_names()
        steps = max(
            len(loader) // self.micro_batches.get(source, 1)
            for source, loader in self.dataloader.loaders.items()
        )
        # A balancer sees optimizer steps.
        steps //= iterations_of(self.runner.optim_wrapper)
        balancer.start(max(1, steps // get_world_size()), evaluated)
        self.schedule.start(self._max_iters, evaluated)
        self.schedule.load_state_dict(
            self.runner.message_hub.runtime_info.get('schedule_state', {})
        )

    def _compare_classes(self) -> None:
        """Refuse data sets of a task whose labels are numbered differently."""
        cfg, validation = self.runner.cfg, self.runner.val_loop
        model = getattr(self.runner.model, 'module', self.runner.model)
        teachers = {} if model.distillation is None else model.distillation.classes()
        for task in dict.fromkeys(part.task for part in self.dataloader.parts):
            kind = model.kinds[task]
            if kind.num_classes(model.tasks[task]) is None:
                continue  # Such a task has no labels of classes, but of identities and the like.
            trained = [part for part in self.dataloader.parts if part.task == task]
            splits: dict = {}
            for part in trained:
                splits |= splits_of(f'train_dataloader.{part.key}', part.dataset, kind)
            if validation is not None and task in validation.parts:
                evaluated = validation.parts[task]
                splits |= splits_of(f'val_dataloader.{evaluated.key}', evaluated.dataset, kind)
            data = {stage: first_data(cfg, stage, task) for stage in STAGES}
            tested = data.pop('test')
            others = [part.dataset for part in data.values() if part is not None]
            if tested is not None and tested.dataset and tested.dataset not in others:
                splits |= splits_of_config(
                    tested.dataset_key.removesuffix('.dataset'), tested.dataset, kind
                )
            require_same_classes(splits)
            theirs = teachers.get(task)
            ours = kind.class_lists(trained[0].dataset).get(METAINFO)
            if theirs and ours and misplaced(theirs, ours):
                raise ConfigError(
                    f'model.distill: the teacher of {task} has the classes {shortened(theirs, 9)}, '
                    f'and train_dataloader.{trained[0].key} {shortened(ours, 9)}; give both the '
                    'same order'
                )

    @property
    def _balancer(self):
        return getattr(self.runner.model, 'module', self.runner.model).balancer

    @property
    def uses_metrics(self) -> bool:
        """Whether a validation changes the steps that come after it."""
        return (
            self._balancer.uses_metrics
            or self.schedule.uses_metrics
            # Those that stop a training
            or any(getattr(hook, 'uses_metrics', False) for hook in self.runner.hooks)
        )

    def _validate(self) -> None:
        try:
            self.runner.val_loop.run()
        except BrokenOff:
            for hook in self.runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(self.runner)  # Swaps the parameters back.
            self._stop(self.runner.stop_signals.received, validation_due=True)

    def follow(self, metrics: Mapping[str, float]) -> None:
        """Tell balancer and schedule a validation's values."""
        self._balancer.after_validation(metrics)
        self.schedule.after_validation(metrics)
        self.runner.message_hub.update_info('schedule_state', self.schedule.state_dict())
        self.runner.message_hub.update_info('validated', self._iter)

    def _validate_now(self) -> bool:
        return (
            self.runner.val_loop is not None
            and self._iter >= self.val_begin
            and (
                self._iter % self.val_interval < ended_with(self.runner, self._iter)
                or self._iter == self._max_iters
            )
        )

    def _draw(self, sources: list[str]) -> tuple[dict, dict[str, float]]:
        data, times = {}, {}
        for source in sources:
            start = time.perf_counter()
            parts = [self.dataloader.next(source) for _ in range(self.micro_batches.get(source, 1))]
            data[source] = parts[0] if len(parts) == 1 else parts
            times[source] = time.perf_counter() - start
        return data, times

    def run_iter(
        self, data_batch: Mapping[str, dict], data_times: Mapping[str, float] | None = None
    ) -> None:
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data_batch)
        if self.seeded:
            seed_all(self.runner.seed, get_rank(), 'step', self._iter)
        with enough_memory(self.runner, data_batch):
            outputs = self.runner.model.train_step(
                data_batch, optim_wrapper=self.runner.optim_wrapper
            )
        outputs |= batch_sizes(data_batch, self.dataloader.tasks)
        outputs |= {f'{source}/data_time': took for source, took in (data_times or {}).items()}
        self.runner.call_hook(
            'after_train_iter', batch_idx=self._iter, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1

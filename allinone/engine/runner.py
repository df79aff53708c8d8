"""mmengine's runner over several tasks' data sets."""

import torch
from mmengine.device import get_device, is_cuda_available
from mmengine.dist import is_distributed
from mmengine.runner import Runner

from allinone.registry import RUNNERS

from .checkpoint import load_state_dict, read_checkpoint, require_weights, state_dict_of
from .config_check import check_config
from .dataloaders import named


@RUNNERS.register_module()
class MultiDatasetRunner(Runner):
    """Trains, validates and tests an :class:`AllInOne` model on one data set a task.

    The stock runner throughout: dataloaders and evaluators are keyed by task, the loops of
    ``allinone.engine.loops`` draw from them, checkpoints are read without executing code.
    """

    @classmethod
    def from_cfg(cls, cfg):
        """Check the config, then build.

        Raises:
            ConfigError: As :func:`check_config`.
        """
        check_config(cfg)
        return super().from_cfg(cfg)

    _testing = False

    def setup_env(self, env_cfg) -> None:
        if self.launcher == 'pytorch' and not is_cuda_available() and not is_distributed():
            # mmengine selects a GPU whatever the backend.
            torch.distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def build_optim_wrapper(self, optim_wrapper):
        with named('optim_wrapper'):
            return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler):
        with named('param_scheduler'):
            return super().build_param_scheduler(scheduler)

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        with named('default_hooks or custom_hooks'):
            super().register_hooks(default_hooks, custom_hooks)

    def test(self) -> dict:
        """As in mmengine; a checkpoint that lacks weights of the tested tasks is refused."""
        self._testing = True
        return super().test()

    def wrap_model(self, model_wrapper_cfg, model):
        """Over several processes the model stays as it is.

        :class:`BalancedStep` averages each task's gradients before the balancer sees them; a
        reducer that fires in the backward passes would average their sum.
        """
        if model_wrapper_cfg is None and self.distributed:
            return model.to(get_device())
        return super().wrap_model(model_wrapper_cfg, model)

    def load_checkpoint(self, filename, map_location='cpu', strict=False, revise_keys=()) -> dict:
        """Load weights, or on resuming the whole model, and say what was missing or left over.

        Args:
            filename: A local file.
            map_location: As in ``torch.load``.
            strict: Refuse a checkpoint whose keys are not exactly the model's.
            revise_keys: Not used; a leading ``module.`` is always dropped.

        Raises:
            CheckpointError: If the file cannot be read safely, or nothing in it fits.
        """
        checkpoint = read_checkpoint(filename, map_location)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = getattr(self.model, 'module', self.model)
        state = state_dict_of(checkpoint, filename)
        if strict:
            model.load_state_dict(state, strict=True)
        else:
            load_state_dict(model, state, filename)
        if self._resume or self._testing:
            tasks = self.test_dataloader.loaders if self._testing else model.tasks
            require_weights(model, state, list(tasks), filename)
        self._has_loaded = True
        return checkpoint

"""Gathers the weights and the optimizer's state where FSDP has spread them over the ranks."""

import copy
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from torch import nn, optim

from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from accelerate import Accelerator


class Sharding:
    """The weights and the optimizer's state of a run, sharded or not. All ranks have to call its methods together.

    Args:
        accelerator: the run's.
        objective: the model with its loss, before ``accelerator.prepare`` shards it in place.

    Raises:
        BertkitError: the run uses an engine that the loop does not support, such as DeepSpeed.
    """

    def __init__(self, accelerator: "Accelerator", objective: nn.Module) -> None:
        from accelerate.utils import DistributedType

        self._accelerator = accelerator
        engine = accelerator.distributed_type
        if engine in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM) or (
            engine == DistributedType.FSDP and not accelerator.is_fsdp2
        ):
            raise BertkitError(
                f"the accelerate config asks for {engine.value}, which bertkit does not train on: use several processes "
                "as they are (DDP), or FSDP with fsdp_version: 2 (examples: recipes/accelerate)"
            )
        self._whole = copy.deepcopy(objective) if engine == DistributedType.FSDP else None
        if self._whole is not None:
            _keep_fp32(accelerator)

    def precision(self) -> AbstractContextManager[None]:
        """The run's precision, for a forward pass in training; where nothing is sharded, ``accelerator.prepare`` has set it."""
        return nullcontext() if self._whole is None else self._accelerator.autocast()

    def whole(self, module: nn.Module) -> nn.Module:
        """The objective with all of its weights on this rank, for evaluating and saving; it cannot be trained."""
        if self._whole is None:
            plain: nn.Module = self._accelerator.unwrap_model(module)
            return plain
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        state = get_model_state_dict(module, options=StateDictOptions(full_state_dict=True))
        self._whole.load_state_dict(state)
        return self._whole.to(self._accelerator.device)

    def optimizer_state(self, module: nn.Module, optimizer: optim.Optimizer) -> dict[str, Any]:
        """The optimizer's state on the CPU, by parameter name: the same for any number of ranks."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return dict(get_optimizer_state_dict(module, _plain(optimizer), options=options))

    def load_optimizer_state(self, module: nn.Module, optimizer: optim.Optimizer, state: dict[str, Any]) -> None:
        """Loads a state that ``optimizer_state`` has returned, on this hardware or other."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

        set_optimizer_state_dict(module, _plain(optimizer), state, options=StateDictOptions(full_state_dict=True))


def _keep_fp32(accelerator: "Accelerator") -> None:
    """Has FSDP hold and add up weights and gradients in fp32, as DDP does, before it shards anything.

    Accelerate would cast all of them to the run's precision, LayerNorm and the sums of the loss included, and make no use
    of autocast: other maths than on ranks that shard nothing.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy

    accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy()


def _plain(optimizer: Any) -> optim.Optimizer:
    """The torch optimizer inside Accelerate's wrapper."""
    inner: optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner

"""Run by torchrun: the toy job with its weights sharded over the ranks' CPUs ("fsdp"), or whole on each ("ddp").

Accelerate shards on accelerators only; here it is told that it has FSDP 2, and its own code does the rest on the CPU.
"""

import os
import sys
from pathlib import Path

from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from bertkit.training.loop import fit
from helpers.toy import toy_job

tmp_path, name, optimizer, engine, precision = Path(sys.argv[1]), *sys.argv[2:6]
resume_from = Path(sys.argv[6]) if len(sys.argv) > 6 else None
accelerator = Accelerator(cpu=True, mixed_precision=precision)
assert accelerator.num_processes == 2
plugin = FullyShardedDataParallelPlugin(
    fsdp_version=2,
    auto_wrap_policy="transformer_based_wrap",
    transformer_cls_names_to_wrap=["BertLayer"],
    cpu_ram_efficient_loading=False,
)
if engine == "fsdp":
    if precision != "no":
        plugin.set_mixed_precision(precision)  # as AcceleratorState does
    AcceleratorState._shared_state |= {"distributed_type": DistributedType.FSDP, "fsdp_plugin": plugin}  # noqa: SLF001
    accelerator.state.distributed_type, accelerator.state.fsdp_plugin = DistributedType.FSDP, plugin
store = tmp_path / f"store-{name}-{accelerator.process_index}"
# 5 of 8 sequences a rank at a time: their last micro-batches are smaller.
job = toy_job(store, tmp_path / name, accelerator, micro_batch=5, save_total_limit=9, optimizer=optimizer)
fitted = fit(job, accelerator, resume_from)
assert all(isinstance(parameter, DTensor) == (engine == "fsdp") for parameter in job.objective.parameters())
assert not any(isinstance(parameter, DTensor) for parameter in fitted.objective.parameters())
accelerator.wait_for_everyone()
# The end of the interpreter now and then aborts in gloo's threads of FSDP's device mesh (torch 2.13, on CPUs).
os._exit(0)

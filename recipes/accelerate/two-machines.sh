#!/bin/bash
# Two machines of 8 GPUs without a batch system. The same line on both; MASTER is the address of one of them.
#   MASTER=10.0.0.1 recipes/accelerate/two-machines.sh prepared/ --recipe base --out /shared/runs/base
# A rank that dies is started anew with all others, up to 3 times, from the last checkpoint.
# At SIGTERM or Ctrl-C torchrun leaves its ranks 110 s to save (torch 2.12 or newer; before, it was always 30 s).
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-110}
exec torchrun --nnodes 2 --nproc-per-node 8 --max-restarts 3 \
  --rdzv-backend c10d --rdzv-endpoint "$MASTER:29500" --rdzv-id bertkit \
  -m bertkit pretrain "$@" --resume

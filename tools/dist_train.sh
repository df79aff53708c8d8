#!/usr/bin/env bash
# Train over N processes of this machine: tools/dist_train.sh CONFIG N [arguments of tools/train.py]
# Over several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG N [arguments of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
if [ -n "${NNODES:-}" ]; then
    meet=(--nnodes "$NNODES" --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR"
        --master_port "${MASTER_PORT:-29500}")
else
    meet=(--standalone)
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${meet[@]}" --nproc_per_node "$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"

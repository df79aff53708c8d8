#!/usr/bin/env bash
# Test over N processes: tools/dist_test.sh CONFIG CKPT N [arguments of tools/test.py]
# Over several machines: the same on each, with NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT set.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 CONFIG CKPT N [arguments of tools/test.py]" >&2
    exit 2
fi
config=$1 checkpoint=$2 processes=$3
shift 3
if [ -n "${NNODES:-}" ]; then
    meet=(--nnodes "$NNODES" --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR"
        --master_port "${MASTER_PORT:-29500}")
else
    meet=(--standalone)
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${meet[@]}" --nproc_per_node "$processes" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "$@"

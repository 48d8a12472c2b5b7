#!/usr/bin/env python3
"""Checkpoints that are divided over ranks, beside torch.distributed.checkpoint.

python packages/core/golden/dcp.py                    writes golden/dcp: two tensors by two ranks, as PyTorch stores them
python packages/core/golden/dcp.py FOLDER WHOLE       reads a checkpoint of promot's by HuggingFaceStorageReader, and says
                                                      whether each tensor of the file WHOLE is there with the same bits
"""

import os
import shutil
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.tensor import Shard, distribute_tensor, init_device_mesh

FOLDER = Path(__file__).parent / "dcp"


def write(rank, ranks):
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT="29617")
    dist.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (ranks,))
    # Five rows do not divide evenly; of two rows each rank has one.
    whole = {"five": torch.arange(15.0).view(5, 3), "two": torch.arange(2.0).bfloat16()}
    state = {name: distribute_tensor(tensor, mesh, [Shard(0)]) for name, tensor in whole.items()}
    dcp.save(state, storage_writer=HuggingFaceStorageWriter(str(FOLDER), save_distributed=True))
    dist.destroy_process_group()


def verify(folder, whole):
    metadata = HuggingFaceStorageReader(folder).read_metadata().state_dict_metadata
    expected = load_file(whole)
    found = {name: torch.empty(metadata[name].size, dtype=metadata[name].properties.dtype) for name in expected}
    dcp.load(found, storage_reader=HuggingFaceStorageReader(folder), no_dist=True)
    differ = [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]
    print(f"{len(expected) - len(differ)} of {len(expected)} tensors are equal")
    return 1 if differ else 0


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.exit(verify(*sys.argv[1:]))
    shutil.rmtree(FOLDER, ignore_errors=True)
    mp.spawn(write, args=(2,), nprocs=2)

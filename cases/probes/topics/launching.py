"""Several processes.

What launchers pass on, and the defaults of training in several processes.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from typing import Any

import torch
from torch import distributed, nn

from cases.probes.probing import attempt, probe, warned


@probe(
    why="torch.distributed.launch gives a script --local_rank or --local-rank, and argparse knows the one it was told.",
    means="Read LOCAL_RANK from the environment and start with torchrun; or declare both spellings in the script.",
    see={"2.0": "https://github.com/pytorch/pytorch/pull/94505"},
)
def launchers() -> Any:
    """torch.distributed.launch and torchrun: what a script is given, and which spellings of options are taken"""
    from torch.distributed import run
    from torch.distributed.launch import parse_args

    def passed_on(*options: str) -> Any:
        asked = parse_args([*options, "--nproc_per_node=2", "train.py"])
        return " ".join(str(part) for part in run.config_from_args(asked)[2][1:])

    def taken(option: str) -> str:
        with contextlib.redirect_stderr(io.StringIO()):  # argparse explains itself there
            try:
                run.parse_args([option, "train.py"])
            except SystemExit:
                return "raises SystemExit"
        return "taken"

    return {
        "launch gives": passed_on(),
        "launch --use_env gives": attempt(lambda: passed_on("--use_env")),
        **{one: taken(one) for one in ("--nproc_per_node=2", "--nproc-per-node=2", "--master-port=1", "--standalone")},
    }


@probe(
    why="Defaults of DistributedDataParallel decide what is sent, when, and with which buffers.",
    means="Pass the arguments that your training rests on.",
    see={
        "2.4": "https://github.com/pytorch/pytorch/pull/121640",
        "2.13": "https://github.com/pytorch/pytorch/pull/178054",
    },
)
def distributed_defaults() -> Any:
    """DistributedDataParallel: defaults of its arguments"""
    parameters = inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    names = ("broadcast_buffers", "bucket_cap_mb", "find_unused_parameters", "gradient_as_bucket_view", "static_graph")
    return {name: str(parameters[name].default) if name in parameters else "not there" for name in names}


@probe(
    why="The share of a data set that each process gets is drawn by the sampler.",
    means="Keep the shares in a file, or draw them by numpy, where they have to be the same.",
)
def shares_of_processes() -> Any:
    """DistributedSampler: items of each of two processes, in two epochs, with an odd number of items"""
    sampler = torch.utils.data.distributed.DistributedSampler
    found = []
    for rank in (0, 1):
        one = sampler([*range(7)], num_replicas=2, rank=rank, seed=3)
        for epoch in (0, 1):
            one.set_epoch(epoch)
            found.append([*one])
    return found


@probe(
    why="Gathering over processes by its old names is in every script for several GPUs.",
    means="Guard by torch.distributed.is_available(), and use the new names once all versions have them.",
)
def names_of_collectives() -> Any:
    """Functions of torch.distributed: which there are"""
    names = [
        "all_gather_into_tensor",
        "_all_gather_base",
        "all_gather_object",
        "reduce_scatter_tensor",
        "_reduce_scatter_base",
        "barrier",
        "monitored_barrier",
        "broadcast_object_list",
        "all_gather_coalesced",
        "is_torchelastic_launched",
        "get_rank",
    ]
    return {name: "there" if name in dir(distributed) else "not there" for name in names}


@probe(
    why="Synchronised BatchNorm is put into a network before it is distributed.",
    means="Convert on every version once, and evaluate on a CPU before you train.",
)
def synchronised_batch_norm() -> Any:
    """convert_sync_batchnorm: what it makes of a network, and whether it runs on a CPU"""
    network = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    return {
        "kind": type(network[1]).__name__,
        "evaluated": attempt(lambda: [*network.eval()(torch.ones(1, 1, 2, 2)).shape]),
        "trained": attempt(lambda: [*network.train()(torch.ones(1, 1, 2, 2)).shape]),
        "said": warned(lambda: nn.SyncBatchNorm(1)),
    }

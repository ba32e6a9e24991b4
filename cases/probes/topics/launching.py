"""Several processes.

What launchers pass on, and the defaults of training in several processes.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import distributed, nn

from cases.probes.probing import attempt, probe, warned


def passed_on(*arguments: str) -> Any:
    """What a launcher appends to a script's own arguments, and the number of processes."""
    from torch.distributed import run
    from torch.distributed.launch import parse_args

    asked = parse_args([*arguments, "--nproc_per_node=2", "train.py", "--batch", "8"])
    return [str(part) for part in run.config_from_args(asked)[2][1:]]


@probe(
    effect="stops",
    why="torch.distributed.launch gives a script --local_rank or --local-rank, and argparse knows the one it was told.",
    means="Read LOCAL_RANK from the environment and start with torchrun; or declare both spellings.",
)
def launch_passes_the_rank() -> Any:
    """torch.distributed.launch: what a script is given beside its own arguments"""
    return {"by default": passed_on(), "with --use_env": attempt(lambda: passed_on("--use_env"))}


@probe(
    effect="stops",
    why="Launch lines live in scripts and job files that nobody reads.",
    means="Spell options with hyphens only once all your versions take them.",
)
def spellings_of_launch_options() -> Any:
    """torchrun: which spellings of its options it takes"""
    from torch.distributed import run

    def taken(*arguments: str) -> Any:
        try:
            run.parse_args([*arguments, "train.py"])
        except SystemExit:
            return "refused"
        return "taken"

    return {
        one: taken(one)
        for one in ("--nproc_per_node=2", "--nproc-per-node=2", "--master_port=1", "--master-port=1", "--standalone")
    }


@probe(
    effect="silent",
    why="Defaults of DistributedDataParallel decide what is sent, when, and with which buffers.",
    means="Pass the arguments that your training rests on.",
)
def distributed_defaults() -> Any:
    """DistributedDataParallel: defaults of its arguments"""
    parameters = inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    names = ("broadcast_buffers", "bucket_cap_mb", "find_unused_parameters", "gradient_as_bucket_view", "static_graph")
    return {name: str(parameters[name].default) if name in parameters else "no such argument" for name in names}


@probe(
    effect="silent",
    why="The share of a data set that each process gets is drawn by the sampler.",
    means="Keep the shares in a file, or draw them by numpy, where they have to be the same.",
)
def shares_of_processes() -> Any:
    """DistributedSampler: items of each of two processes, in two epochs, with an odd number of items"""
    sampler = torch.utils.data.distributed.DistributedSampler
    found = []
    for rank in (0, 1):
        one = sampler([*range(7)], num_replicas=2, rank=rank, seed=3)  # type: ignore[arg-type]
        for epoch in (0, 1):
            one.set_epoch(epoch)
            found.append([*one])
    return found


@probe(
    effect="stops",
    why="Gathering over processes by its old names is in every script for several GPUs.",
    means="Guard by torch.distributed.is_available(), and use the new names once all versions have them.",
)
def names_of_collectives() -> Any:
    """Functions of torch.distributed: which there are"""
    names = (
        "all_gather_into_tensor _all_gather_base all_gather_object reduce_scatter_tensor _reduce_scatter_base barrier "
        "monitored_barrier broadcast_object_list all_gather_coalesced is_torchelastic_launched get_rank"
    ).split()
    return {name: "there" if name in dir(distributed) else "not there" for name in names}


@probe(
    effect="warns",
    why="Synchronised BatchNorm is put into a network before it is distributed.",
    means="Nothing, while it is the same.",
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

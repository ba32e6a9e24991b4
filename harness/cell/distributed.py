"""A training that several processes share: how torchrun is started, and what each of its processes runs.

Every process makes the same batches, is fed its share of each, and averages its gradients with those of the others
(DistributedDataParallel; gloo on the CPU, nccl on CUDA). The first one evaluates, keeps checkpoints, tells how far it
is, and answers; the others wait for it where they next exchange something. What the running statistics of the batch
normalisations are, the first one says too, at every forward pass.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import torch
from msgspec.structs import replace
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from harness.cell.checkpoint import CheckpointError
from harness.cell.children import Child
from harness.cell.data.batches import Batch
from harness.cell.errand import Errand, Errands, answer_of, carry_out
from harness.cell.learner import Group, Learner
from harness.cell.model import Losses, table_of
from harness.cell.progress import Progress
from harness.cell.train import Loop, Position
from harness.core.errors import UsageError
from harness.core.files import to_json, write_atomically

HERE = "127.0.0.1"
"""Where the processes meet. (torch's store listens on all addresses, whatever it is told.)"""

LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "NCCL_SHM_DISABLE": "1"}
"""What they exchange stays on this machine, and not in shared memory, which a kill would leave behind."""

LAUNCH = ("--max_restarts", "0", "--monitor_interval", "0.1", "--master_addr", HERE)
"""torchrun's looks at its processes are 5 s apart by default in old versions, 0.1 s in new ones."""

ORDER_OF_GPUS = "CUDA_VISIBLE_DEVICES"


@contextlib.contextmanager
def torchrun(errand: Errand, scratch: Path) -> Iterator[Child]:
    """An errand at work in as many processes as it has shares. At the end none of them is left, nor a file of
    torchrun's outside `scratch`."""
    path = scratch / "errand.json"
    write_atomically(path, msgspec.json.encode(replace(errand, began=time.monotonic())))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(errand.shares), *LAUNCH]
    worker = ["-m", "harness.cell.worker", "--run", str(os.getpid()), "--errand", str(path)]
    variables = {**LOOPBACK, "TMPDIR": str(scratch)}
    if errand.spec.device != "cpu":
        variables[ORDER_OF_GPUS] = ",".join(visible_gpus())
    with reserved_port() as port, Child([*launcher, "--master_port", str(port), *worker], variables=variables) as child:
        try:
            yield child
        finally:
            child.kill()
            child.pipe.read()  # it ends with the last process that has the pipe open, and they all have


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else is given as long as this lasts. torch's store may still take it: both sockets allow that
    their address is used again (SO_REUSEADDR), and this one does not listen."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HERE, 0))
        yield holder.getsockname()[1]


def visible_gpus() -> list[str]:
    """The GPUs of this process as `CUDA_VISIBLE_DEVICES` has them, or would if it were set."""
    named = os.environ.get(ORDER_OF_GPUS)
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]


def workers_of(child: Child) -> dict[int, psutil.Process]:
    """By rank the processes that torchrun has started."""
    started = psutil.Process(child.process.pid).children()
    return {int(process.environ()["RANK"]): process for process in started}


class Processes(Group):
    """The processes of a training, as the one of this rank sees them."""

    def __init__(self, processes: int, rank: int) -> None:
        self.processes = processes
        self.leads = rank == 0

    def agreed(self, losses: Sequence[Losses]) -> Sequence[Losses]:
        """Their means over all processes, also of what was reached: all judge a step alike."""
        table = table_of(losses)
        distributed.all_reduce(table)
        return [loss.replaced(list(means)) for loss, means in zip(losses, table / self.processes)]


class Shared(Errands):
    """An errand in one of several processes."""

    def __init__(self, errand: Errand, rank: int) -> None:
        super().__init__(errand)
        self.rank = rank

    def begin(self, loop: Loop) -> Position:
        """Where the checkpoint says: all processes read the same. From here on they exchange gradients."""
        lower_scale(loop.learner, self.errand.shares)
        position = super().begin(loop)
        join(loop.learner, Processes(self.errand.shares, self.rank), loop.spec.train.limit_hours)
        return position

    def feed(self, loop: Loop, batch: Batch, position: Position) -> Sequence[Batch]:
        """The share of this process."""
        return [super().feed(loop, batch, position)[self.rank]]

    def after_update(self, loop: Loop, following: Position) -> bool:
        """One process is enough to keep and tell."""
        return not loop.learner.group.leads or super().after_update(loop, following)


def join(learner: Learner, group: Processes, hours: float) -> None:
    """Meet the other processes. For so many hours they wait for each other: a run that hangs is the conductor's."""
    on_gpu = learner.device.type == "cuda"
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(hours=hours))
    learner.forward = DistributedDataParallel(learner.network, device_ids=[learner.device] if on_gpu else None)
    learner.group = group


def lower_scale(learner: Learner, processes: int) -> None:
    """Have the loss scaler begin so much lower, because the loss is so much higher (see `backward`): float16 then
    overflows in the same steps as with one process."""
    state = learner.scaler.state_dict()
    if state:  # a scaler that does nothing has none
        learner.scaler.load_state_dict({**state, "scale": state["scale"] / processes})


def own_gpu(gpus: Sequence[str], first: int, rank: int) -> list[str]:
    """The GPUs in an order in which place `first`, that of the spec's device, is held by another one for every rank."""
    order = list(gpus)
    other = (first + rank) % len(order)
    order[first], order[other] = order[other], order[first]
    return order


def main(arguments: Sequence[str]) -> int:
    """What a worker does; exit code 0 when the training is done, 2 with one sentence for what cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m harness.cell.worker")
    parser.add_argument("--errand", type=Path, required=True)
    parser.add_argument("--progress-fd", type=int, required=True, help="a file descriptor of torchrun's")
    asked = parser.parse_args(arguments)
    # torchrun does not hand it on, so it is opened once more
    pipe = os.open(f"/proc/{os.getppid()}/fd/{asked.progress_fd}", os.O_WRONLY)
    errand = msgspec.json.decode(asked.errand.read_bytes(), type=Errand)
    rank = int(os.environ["RANK"])
    if errand.spec.device != "cpu":
        first = torch.device(errand.spec.device).index
        os.environ[ORDER_OF_GPUS] = ",".join(own_gpu(os.environ[ORDER_OF_GPUS].split(","), first, rank))
    hook = Shared(errand, rank)
    try:
        result = carry_out(hook, Progress(pipe if rank == 0 else None))
        if rank == 0:
            write_atomically(Path(errand.answer), to_json(answer_of(result, hook)))
        distributed.destroy_process_group()
    except (UsageError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0

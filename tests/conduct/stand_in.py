"""A stand-in for the interpreter of a pin: prepares nothing, does runs without torch, and keeps a journal of them.

`does.json` beside the journal says of what it does otherwise: how long a run takes ("seconds"), and which runs do not
end before a file "go" is there ("waits": names such as "converge ambient 0").
"""

import json
import os
import sys
import time
from pathlib import Path

import msgspec

from harness.core.dataset import Part, Summary
from harness.core.files import to_json, write_atomically
from harness.core.hardware import node_here
from harness.core.preparation import PrepareAnswer, Prepared
from harness.core.record import SCHEMA, Environment, Hashes, Record, Sitting, timestamp, write_record
from harness.core.spec import Data, Order

HELD = Part(pictures=1, boxes=1, classes=1, backgrounds=0, suffixes={".png": 1})

FOLDER, (way, what, *arguments) = Path(sys.argv[1]), sys.argv[2:]
if way == "-c":  # whether it has all modules
    sys.exit()
path, descriptor = Path(arguments[1]), int(arguments[3])


def tell(**event):
    os.write(descriptor, json.dumps(event).encode() + b"\n")


def note(*said):
    with (FOLDER / "journal").open("a") as journal:
        journal.write(json.dumps([*said, node_here(os.environ), os.getpid()]) + "\n")


if what == "harness.cell.data.prepare":
    note("prepare", "", 0)
    write_atomically(path, to_json(PrepareAnswer(Prepared(Data("shapes", "digest"), "index", Summary(1, HELD, HELD)))))
    sys.exit()

order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
spec, place, started = order.spec, order.place, timestamp()
does = json.loads((FOLDER / "does.json").read_text())
note(spec.case, spec.pin.name, spec.round)
print("a line of its log")
sittings = []
if place:
    tell(phase="ready")
    for lap in range(3):
        assert sys.stdin.buffer.readline() == b"turn\n"
        if lap < 2:
            tell(phase="turn", epoch=0, step=lap)
    sittings = [Sitting(place.sitting, place.seat, 3)]
time.sleep(does.get("seconds", 0))
while f"{spec.case} {spec.pin.name} {spec.round}" in does.get("waits", []) and not (FOLDER / "go").exists():
    tell(phase="train", epoch=0, step=0)
    time.sleep(0.2)
tell(phase="epoch done", epoch=0, step=3, loss=1.0, rate=1.0, memory=1.0)
environment = Environment(
    python="3.11", torch="1.0", torchvision=None, cuda=None, cudnn=None, packages={}, system="Linux", cpu="a processor",
    cores=1, threads=1, gpu=None, gpu_architecture=None, gpu_memory=None, driver=None, wheel_architectures=[], flags={},
    label="not checked", node=node_here(os.environ),
)  # fmt: skip
write_record(
    path,
    Record(
        schema=SCHEMA, spec=spec, identity=spec.identity(), status="ok", started=started, ended=timestamp(),
        environment=environment, hashes=Hashes("digest"), sittings=sittings,
    ),
)  # fmt: skip

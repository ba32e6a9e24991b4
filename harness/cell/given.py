"""`python -m harness.cell.given --answer PATH [--progress-fd N] < REQUEST`: the weights that runs are given.

They are made ready once for all pins, by the conductor, in the first pin's environment: read from the user's file, or
trained there. Request and answer are JSON. Runs then read what lies in the cache, and check that it is that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import msgspec
from msgspec.structs import replace
from torch import nn

from harness.cell.answering import answer_request
from harness.cell.data.index import DataIndex, read_index
from harness.cell.environment import set_flags
from harness.cell.model import load_model, make_network
from harness.cell.progress import Progress
from harness.cell.run import Run
from harness.cell.source import adopt
from harness.cell.train import Hook, make_loop, train_loop
from harness.cell.weights import nudge_weights, weights_digest
from harness.cell.weights_file import About, WeightsFile, read_weights, write_weights
from harness.core.errors import UsageError
from harness.core.files import digest_of, spelt_out, to_json, write_atomically
from harness.core.preparation import GivenWeights, WeightsAnswer, WeightsRequest
from harness.core.spec import Model, RunSpec, Weights


def network_in(path: str, model: Model) -> nn.Module:
    """The network of what lies in the cache; `UsageError` where that cannot be used."""
    return load_model(model).network_of(read_weights(Path(path)).entries)


def network_as_given(run: Run) -> nn.Module:
    """The network with the weights that the run is given, as they are; float32, on the CPU. `UsageError` where they are
    not there any more."""
    network = network_in(run.weights, run.spec.model)
    if weights_digest(network) != run.given.digest:
        raise UsageError(f"{run.weights} holds other weights than were prepared: run the matrix again.")
    return network


def given_network(run: Run) -> nn.Module:
    """Likewise, moved by one rounding where the run is the control's."""
    network = network_as_given(run)
    if run.spec.nudged:
        nudge_weights(network, run.spec.seed)
    return network


def network_to_train(run: Run) -> tuple[nn.Module, str]:
    """A network to train from the weights that the run is given, and what of it these do not have, in words.

    Entries of another shape than the data set's classes need are drawn: the weights may be those of other classes.
    `UsageError` where there is no training the network that they are of.
    """
    given, model = network_as_given(run), load_model(run.spec.model)
    if not model.trainable(given):
        raise UsageError(
            f"The weights {run.given.name} are of a network for inference, which cannot be "
            "trained: give those of a training."
        )
    classes = len(run.data.classes)
    if model.classes_of(given) == classes:
        return given, ""
    network = make_network(replace(run.spec, device="cpu"), classes)
    own, entries = network.state_dict(), given.state_dict()
    fitting = {name: entry for name, entry in entries.items() if own[name].shape == entry.shape}
    network.load_state_dict(fitting, strict=False)
    drawn = [name for name in own if name not in fitting]
    return network, f"the weights are of {model.classes_of(given)} classes: drawn anew are {', '.join(drawn)}"


def prepare(request: WeightsRequest, progress: Progress) -> GivenWeights:
    """Make weights ready; `UsageError` with what is wrong with the file, or the cache folder."""
    set_flags(request.spec)
    adopt(request.spec.model, request.source)
    try:
        Path(request.cache).mkdir(parents=True, exist_ok=True)
        return read(request, Path(request.file)) if request.file else trained_once(request, progress)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"The cache folder {request.cache} cannot be written ({reason}): make room there.") from error


def read(request: WeightsRequest, file: Path) -> GivenWeights:
    """The user's weights; what they are is said."""
    found, model = read_weights(file), load_model(request.spec.model)
    try:
        network = model.network_of(found.entries)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None
    index, classes = read_index(Path(request.index)), model.classes_of(network)
    if request.same_classes and classes != len(index.classes):
        raise UsageError(
            f"The weights {file} are of {classes} classes, and the data set {index.name} has {len(index.classes)}: "
            "give those that were trained on it, or with --data a set of theirs."
        )
    count = sum(parameter.numel() for parameter in network.parameters())
    said = [f"{found.form} of {classes} classes and {count:,} parameters", *unlike(found.classes, index.classes)]
    return kept(found, weights_digest(network), request, file.name, "; ".join(said))


def unlike(own: Optional[Sequence[str]], data: Sequence[str]) -> list[str]:
    """Where weights name their classes otherwise than the data set, in words: a class is known by its place alone."""
    pairs = enumerate(zip(own or (), data))
    return [
        f"its class {place} is {spelt_out(one)!r} and the data set's {spelt_out(other)!r}, so look whether they are of "
        "the same classes in the same order"
        for place, (one, other) in pairs
        if one != other
    ][:1]


def trained_once(request: WeightsRequest, progress: Progress) -> GivenWeights:
    """The weights of a training, which is done unless it has been before."""
    key = digest_of(replace(request, index="", cache="", source=""))  # the spec names data set and code by digests
    answer = Path(request.cache) / f"trained-{key[:16]}.json"
    if answer.exists():
        earlier = msgspec.json.decode(answer.read_bytes(), type=GivenWeights)
        if is_whole(earlier, request.spec.model):
            return earlier
    index = read_index(Path(request.index))
    network, said = trained(request.spec, index, progress)
    found = WeightsFile(network.state_dict(), "training", tuple(index.classes))
    given = kept(found, weights_digest(network), request, "of a short training", said)
    write_atomically(answer, to_json(given))
    return given


def is_whole(given: GivenWeights, model: Model) -> bool:
    """Whether the file of weights is still what it was."""
    try:
        return weights_digest(network_in(given.path, model)) == given.weights.digest
    except UsageError:
        return False


def trained(spec: RunSpec, index: DataIndex, progress: Progress) -> tuple[nn.Module, str]:
    """Train as the spec says: the averaged weights, which are what is evaluated, and how well they did."""
    loop = make_loop(spec, index, progress, Hook())
    score = train_loop(loop).scores[-1]
    said = f"{spec.train.epochs} epochs with torch {spec.pin.name}, mAP50 {score.map50:.1%}"
    return loop.learner.average.network, said


def kept(found: WeightsFile, digest: str, request: WeightsRequest, name: str, said: str) -> GivenWeights:
    """Write entries into the cache, under their own names and in their own types. `digest` is of the network that they
    make."""
    path = Path(request.cache).absolute() / f"{digest[:16]}.safetensors"
    write_weights(path, found.entries, About(request.spec.model.name, tuple(found.classes or ())))
    return GivenWeights(Weights(spelt_out(name), digest), str(path), said)


def answer_to(asked: bytes, progress_fd: Optional[int] = None) -> WeightsAnswer:
    """What the process answers to the request that it read."""
    try:
        return WeightsAnswer(given=prepare(msgspec.json.decode(asked, type=WeightsRequest), Progress(progress_fd)))
    except msgspec.DecodeError as error:
        return WeightsAnswer(problem=f"The request to prepare weights cannot be read ({error}).")
    except UsageError as error:
        return WeightsAnswer(problem=spelt_out(str(error)))


if __name__ == "__main__":
    sys.exit(answer_request("harness.cell.given", answer_to))

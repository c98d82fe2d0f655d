"""What a run stored, hashed again: which artifacts are damaged, in which files, and how to mend them.

Metaflow names a stored object after the SHA-1 of its content, but compares the two neither when it reads the object nor
when it stores the same content again: damage shows late, as an error of the unpacker, and later runs reuse the file.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from metaflow import namespace
from metaflow.datastore.flow_datastore import FlowDataStore

from dlcycle.errors import ConfigError
from dlcycle.flowkit.artifact_checks import (
    MODELS,
    TABLES,
    UncheckedError,
    check_model,
    plain_value,
    table_facts,
    table_problems,
)
from dlcycle.flowkit.doctor.platform import require_store
from dlcycle.flowkit.stored import (
    DAMAGED,
    MISSING,
    WHERE,
    Place,
    Record,
    object_file,
    open_store,
    read_attempts,
    read_object,
    read_records,
    steps_in_order,
)
from dlcycle.flowkit.stored_checkpoints import check_checkpoints

CODE = "code package"
LIST = "list of artifacts"
CHECKPOINT = "checkpoint "
GRAPH = "_graph_info"


@dataclass(frozen=True)
class Damage:
    """One damaged or missing thing."""

    artifact: str
    step: str
    """The first step that has it."""
    task: str
    file: str
    differs: str
    """What was expected and what came."""
    also: tuple[str, ...] = ()
    """Later tasks, as step/task, that pass the same object on."""

    def __str__(self) -> str:
        """One line for the terminal."""
        more = f" and {len(self.also) - 5} more" if len(self.also) > 5 else ""
        also = f"; also in {', '.join(self.also[:5])}{more}" if self.also else ""
        return f"damaged  {self.artifact} of {self.step}/{self.task}: {self.file}: {self.differs}{also}"


@dataclass
class Verified:
    """What a run stored and what of it is damaged."""

    run: str
    store: str
    """Kind and root of the datastore."""
    tasks: int = 0
    artifacts: int = 0
    """References of all tasks; several may share a stored object."""
    objects: int = 0
    """Stored objects that were hashed again."""
    bytes: int = 0
    """Size of their contents."""
    models: int = 0
    """Saved models that were restored."""
    checkpoints: int = 0
    damages: list[Damage] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    """What was not checked, and why."""
    cure: str = ""

    def __str__(self) -> str:
        """The lines for the terminal; the last is the summary."""
        lines = [*map(str, self.damages), *(f"not checked: {each}" for each in self.unchecked)]
        lines += [self.cure] if self.cure else []
        counts = [
            f"{number:,} {name}{'' if number == 1 else 's'}"
            for number, name in (
                (self.tasks, "task"),
                (self.artifacts, "artifact"),
                (self.models, "model"),
                (self.checkpoints, "checkpoint"),
                (self.objects, "stored object"),
            )
        ]
        damaged = f"{len(self.damages)} damaged" if self.damages else "nothing damaged"
        summary = f"{', '.join(counts)} of {self.bytes / 1e6:,.1f} MB: {damaged}"
        return "\n".join([*lines, f"{self.run} in {self.store}: {summary}"])


def main(pathspec: str, *, as_json: bool) -> int:
    """Print what `verify_run` finds, as lines or JSON; return 1 if anything is damaged."""
    # Whose runs are looked at does not matter, nor who looks.
    namespace(None)
    report = verify_run(pathspec)
    sys.stdout.write((json.dumps(asdict(report), indent=1) if as_json else str(report)) + "\n")
    return 1 if report.damages else 0


def verify_run(pathspec: str) -> Verified:
    """Hash everything again that a run stored, and check the models and tables in it.

    Args:
        pathspec: the run, such as TrainFlow/1763681000, finished or not.

    Returns:
        What is damaged: each stored object once, with the tasks that use it.

    Raises:
        ConfigError: there is no such run.
    """
    flow, _, identity = pathspec.partition("/")
    if not flow or not identity or "/" in identity:
        raise ConfigError(f"expected FLOW/RUN, such as TrainFlow/1763681000, got {pathspec!r}")
    records, problem = read_records(pathspec)
    store = open_store(flow, records)
    require_store(store.TYPE, store.datastore_root)
    report = Verified(pathspec, f"{store.TYPE} {store.datastore_root}")
    if problem:
        step, task = next(reversed(records), ("run", identity))
        report.damages.append(Damage("record", step, task, "the run's metadata", f"cannot be read: {problem}"))
    places = _find_places(store, identity, records, report)
    if not places and not records and not report.damages:
        raise ConfigError(f"there is no run {pathspec} in the datastore {report.store}: {WHERE}")
    if not records:
        report.unchecked.append("what the metadata recorded: they know nothing of this run")
    contents = _check_objects(store, places, report)
    graph = next((value for (name, _), value in contents.items() if name == GRAPH), None)
    steps = steps_in_order(graph) if isinstance(graph, dict) else []
    _check_tables(places, contents, report)
    _check_checkpoints(store, identity, report)
    report.damages = _merge(report.damages, steps)
    report.unchecked = list(dict.fromkeys([*report.unchecked, "logs and cards: nothing records what they were"]))
    report.cure = _cure(report.damages, steps, identity=identity, graph=graph)
    return report


def _find_places(
    store: FlowDataStore, identity: str, records: Mapping[tuple[str, str], Record], report: Verified
) -> dict[str, list[Place]]:
    """Where the run refers to each stored object, by its key; reports lists that are damaged or missing."""
    places: dict[str, list[Place]] = {}
    seen = set()
    for attempt in read_attempts(store, identity):
        step, task = attempt.step, attempt.task
        seen.add((step, task))
        recorded = records.get((step, task), Record()).keys if attempt.latest else {}
        if attempt.problem:
            report.damages.append(Damage(LIST, step, task, attempt.file, attempt.problem))
        elif attempt.keys is None:
            report.unchecked.append(f"attempt {attempt.number} of {step}/{task}: it still runs or has died")
        found = attempt.keys or {}
        for name in found.keys() | recorded.keys():
            key = recorded.get(name, found.get(name, ""))
            if attempt.keys is not None and found.get(name) != key:
                differs = f"lists {found.get(name, 'nothing')}, the metadata recorded {key}"
                report.damages.append(Damage(name, step, task, attempt.file, differs))
            places.setdefault(key, []).append(Place(name, step, task, attempt.number))
    for (step, task), record in records.items():
        if (step, task) not in seen:
            folder = store._storage_impl.full_uri(f"{store.flow_name}/{identity}/{step}/{task}")
            report.damages.append(Damage(LIST, step, task, folder, "the folder of the task is missing"))
        if record.code:
            places.setdefault(record.code, []).append(Place(CODE, step, task, 0))
    report.tasks = len(seen)
    report.artifacts = sum(map(len, places.values()))
    return places


def _check_objects(
    store: FlowDataStore, places: Mapping[str, Sequence[Place]], report: Verified
) -> dict[tuple[str, str], Any]:
    """Hash every stored object again and restore the models; return what is compared further, by artifact and key."""
    kept: dict[tuple[str, str], Any] = {}
    for key, found in places.items():
        report.objects += 1
        try:
            content = read_object(store, key)
        except DAMAGED as failure:
            report.damages += _damages(store, key, found, str(failure))
            continue
        report.bytes += len(content)
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if digest != key:
            names = sorted({place.artifact for place in places.get(digest, ())})
            whose = f", that of {' and '.join(names)}" if names else ""
            report.damages += _damages(store, key, found, f"its content has the SHA-1 {digest}{whose}, expected {key}")
            continue
        for name in sorted({place.artifact for place in found}):
            try:
                if name in (*TABLES, GRAPH):
                    value = plain_value(name, content)
                    kept[name, key] = value if name == GRAPH else table_facts(name, value)
                elif name in MODELS and (model := plain_value(name, content)) is not None:
                    report.models += 1
                    if problem := check_model(model):
                        report.damages += _damages(store, key, [p for p in found if p.artifact == name], problem)
            except UncheckedError as reason:
                report.unchecked.append(str(reason))
    return kept


def _damages(store: FlowDataStore, key: str, places: Sequence[Place], differs: str) -> list[Damage]:
    file = object_file(store, key)
    return [Damage(place.artifact, place.step, place.task, file, differs) for place in places]


def _check_tables(places: Mapping[str, Sequence[Place]], kept: Mapping[tuple[str, str], Any], report: Verified) -> None:
    """Compare the rows of each task with what the same task says of them."""
    tasks: dict[tuple[str, str, int], dict[str, Any]] = {}
    for (name, key), value in kept.items():
        for place in places[key]:
            if place.artifact == name and name != GRAPH and value is not None:
                tasks.setdefault(place[1:], {})[name] = value
    for (step, task, _), held in tasks.items():
        report.damages += [Damage(name, step, task, "its content", problem) for name, problem in table_problems(held)]
    uris = sorted({held["source"]["uri"] for held in tasks.values() if "source" in held})
    report.unchecked += [f"data_fingerprint: it needs the rows as they were read from {uri}" for uri in uris]


def _check_checkpoints(store: FlowDataStore, identity: str, report: Verified) -> None:
    for found in check_checkpoints(store, identity):
        report.checkpoints += found.checked
        if found.problem:
            report.damages.append(Damage(found.name, found.step, found.task, found.file, found.problem))
        elif not found.checked:
            report.unchecked.append(f"{found.name} of {found.step}/{found.task}, which dlcycle has not written")


def _merge(damages: Sequence[Damage], steps: Sequence[str]) -> list[Damage]:
    """One damage for each damaged thing, in the order of the steps."""
    order = {step: number for number, step in enumerate(steps)}

    def position(damage: Damage) -> tuple[Any, ...]:
        # Parameters come before the first step.
        return order.get(damage.step, -1), damage.step, len(damage.task), damage.task, damage.artifact

    merged: dict[tuple[str, str], list[Damage]] = {}
    for damage in sorted(damages, key=position):
        merged.setdefault((damage.file, damage.differs), []).append(damage)
    found = []
    for same in merged.values():
        names = ", ".join(dict.fromkeys(damage.artifact for damage in same))
        tasks = dict.fromkeys(f"{damage.step}/{damage.task}" for damage in same)
        found.append(replace(same[0], artifact=names, also=tuple(tasks)[1:]))
    return found


def _cure(damages: Sequence[Damage], steps: Sequence[str], *, identity: str, graph: Any) -> str:
    """What to type to have a run without damage; empty where nothing is damaged."""
    if not damages:
        return ""
    damages = [damage for damage in damages if not damage.artifact.startswith(CHECKPOINT)]
    if not damages:
        return "to mend: nothing is needed; a training that goes on takes the checkpoint before, or begins anew"
    script = graph["file"] if steps else "FLOW_FILE"
    command = f"python {script} run"
    if damages[0].step in steps:
        command = f"python {script} resume {damages[0].step} --origin-run-id {identity}"
    files = [damage.file for damage in damages if "/data/" in damage.file and damage.differs != MISSING]
    delete = "delete the damaged files, which Metaflow would use again for the same content, and " if files else ""
    return "\n".join(
        [f"to mend: {delete}go on from there in a new run:", *(f"  delete {f}" for f in files), f"  {command}"]
    )

"""The trained model that is explained, and the one it is compared with: runs of TrainFlow, found and checked."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlcycle.errors import ConfigError
from dlcycle.flowkit.runs import finished_run, namespace_words, refuse_other_project, successful_runs

if TYPE_CHECKING:
    from dlcycle.config import Project

MITIGATIONS = ("train.reweight", "train.augment", "train.augment_share")
"""Settings whose effect is shown by a run that lacks them."""
ARTIFACTS = ("model", "rows", "metrics", "gates", "candidate_report")
"""What tells a run of TrainFlow from others."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run of TrainFlow."""

    pathspec: str
    why: str
    """How it was chosen, in words."""
    data: Any
    """Its artifacts."""

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Its project, with what the command line overrode, as plain data; keys that are newer have their defaults."""
        from dlcycle.project_file import validate_project

        return validate_project(self.data.lineage["settings"]).model_dump(mode="json")


def choose_trained(pathspec: str | None, *, triggered_by: str | None = None, settings: "Project", flow: str) -> Trained:
    """Return the run whose model is explained: the one named, or that triggered this one, or the latest successful one.

    Args:
        pathspec: `--train-run`.
        triggered_by: the run of such a flow that triggered this one, if one did.
        settings: the project.
        flow: name of the flow that trains.

    Raises:
        ConfigError: there is no such run, it has not finished, trained nothing, or is of another project.
    """
    project, why = settings.project.name, "named with --train-run" if pathspec else "it triggered this run"
    pathspec = pathspec or triggered_by or ""
    if not pathspec:
        run = next(successful_runs(flow, project=project), None)
        if run is None:
            raise ConfigError(
                f"there is no successful run of {flow} of the project {project!r} in {namespace_words()}: run "
                f"train_flow.py first, name a run with --train-run {flow}/ID, or pass the project's file with "
                "--config project FILE"
            )
        why = f"the latest successful run of {flow} of the project {project!r} in {namespace_words()}"
        return Trained(run.pathspec, why, _artifacts(run.pathspec, option="--train-run", flow=flow))
    found = Trained(pathspec, why, _artifacts(pathspec, option="--train-run", flow=flow))
    refuse_other_project(found.settings["project"]["name"], project, option="--train-run", pathspec=pathspec)
    return found


def choose_before(pathspec: str | None, *, trained: Trained, flow: str) -> Trained | None:
    """Return the run that the explained one is compared with.

    Without a name it is the latest successful run on the same rows that differs in nothing but what was to be
    mitigated: reweighting and augmentation. None where the model uses neither, or there is no such run.

    Args:
        pathspec: `--before`.
        trained: the run whose model is explained.
        flow: name of the flow that trains.

    Raises:
        ConfigError: the run named cannot be used, or was tested on other rows.
    """
    from dlcycle.train.experiment import differing_settings

    fingerprint, project = trained.data.data_fingerprint, trained.settings["project"]["name"]
    if pathspec:
        before = Trained(pathspec, "named with --before", _artifacts(pathspec, option="--before", flow=flow))
        refuse_other_project(before.settings["project"]["name"], project, option="--before", pathspec=pathspec)
        if before.data.data_fingerprint != fingerprint:
            raise ConfigError(
                f"--before: {pathspec} was tested on other rows than {trained.pathspec}: expected the data fingerprint "
                f"{fingerprint[:16]}, got {before.data.data_fingerprint[:16]}; train it on the same data and split"
            )
        return before
    train = trained.settings["train"]
    if not train["reweight"] and not train["augment"]:
        return None
    for run in successful_runs(flow, project=project, tags=[f"data:{fingerprint[:16]}"]):
        candidate = Trained(run.pathspec, "", run.data)
        differs = differing_settings(candidate.settings, trained.settings)
        if _lacks_mitigation(differs):
            why = f"the latest run on the same rows that lacks {' and '.join(differs)} and differs in nothing else"
            return Trained(run.pathspec, why, run.data)
    return None


def _lacks_mitigation(differs: Mapping[str, list[Any]]) -> bool:
    """Whether settings `[then, now]` differ in mitigations alone, of which there were fewer then."""
    switched = {key: pair for key, pair in differs.items() if key in ("train.reweight", "train.augment")}
    fewer = all(not then or (isinstance(then, list) and set(then) < set(now or [])) for then, now in switched.values())
    return bool(switched) and fewer and set(differs) <= set(MITIGATIONS)


def describe_trained(trained: Trained) -> dict[str, Any]:
    """Return which run's model is explained, how it was chosen, what identifies the model, its settings and gates."""
    return {
        "run": trained.pathspec,
        "why": trained.why,
        "experiment_id": trained.data.experiment_id,
        "candidate": {key: trained.data.candidate_report[key] for key in ("name", "seed", "architecture")},
        "model_sha256": trained.data.model["description"]["sha256"]["weights"],
        "settings": trained.settings,
        "gates": trained.data.gates,
    }


def describe_before(before: Trained, *, trained: Trained) -> dict[str, Any]:
    """Return the name of the run that is compared with, why it was chosen, and what differs: `[then, now]` by key."""
    from dlcycle.train.experiment import differing_settings

    return {
        "run": before.pathspec,
        "why": before.why,
        "differs": differing_settings(before.settings, trained.settings),
    }


def _artifacts(pathspec: str, *, option: str, flow: str) -> Any:
    return finished_run(pathspec, option=option, flow=flow, script="train_flow.py", artifacts=ARTIFACTS)

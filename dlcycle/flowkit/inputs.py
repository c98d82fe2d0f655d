"""Files that a command line names, where tasks run on other machines: refused before anything starts, or uploaded.

Tasks on Kubernetes or AWS Batch see the code package and what a network reaches, and none of the user's files. Which
steps run there is known once Metaflow has attached what `--with` names: then it calls the mutators of a flow, and no
run has begun. Their interface tells of steps and the project file, not of the command line's values; these are those
of the running click command.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metaflow import FlowMutator, Parameter
from metaflow._vendor import click  # the click that Metaflow's commands are made of; there is no public name for it
from metaflow.exception import MetaflowException
from metaflow.user_decorators.mutable_flow import MutableFlow

from dlcycle.errors import DlcycleError, SourceError
from dlcycle.flowkit.failures import flow_command
from dlcycle.flowkit.lineage import code_state

REMOTE = ("kubernetes", "batch")
"""Decorators that send a step to another machine."""
FOLDER = "dlcycle-inputs"
"""Folder of the datastore's root that holds uploaded files: FOLDER/sha256/name."""
_CURE = "add --upload, which puts it into the datastore and reads it from there, or name an s3:// object or https://"

_LOCAL_METADATA = (
    "what is known of runs is kept on this machine (--metadata local), and without it tasks elsewhere find no earlier "
    "run and no checkpoint and leave no card; set METAFLOW_DEFAULT_METADATA=service and METAFLOW_SERVICE_URL to your "
    "team's metadata service, or leave out --with"
)


class LaunchFailure(MetaflowException):
    """What a command asks for cannot work where its tasks would run. Metaflow prints its message alone."""

    headline = "Nothing was started"


class InputFile(Parameter):
    """A parameter that names a source of rows, read by the first step: a path, `https://` or `s3://`.

    Args:
        name: of the option.
        replaces: key of the project file that holds the source when the option is not given, such as data.source.
        unless: option that makes the project file's source unneeded.
        help: for `--help`.
    """

    def __init__(self, name: str, *, replaces: str | None = None, unless: str | None = None, help: str) -> None:
        super().__init__(name, help=help)
        self.replaces, self.unless = replaces, unless

    def source(self, values: Mapping[str, Any], project: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return what is read and what names it; None if nothing is, or the bundled sample."""
        if given := values.get(_variable(self.name)):
            return None if self.replaces and given == "sample" else (given, f"--{self.name}")
        if not self.replaces or (self.unless and values.get(_variable(self.unless))):
            return None
        section, key = self.replaces.split(".")
        return None if project[section][key] == "sample" else (project[section][key], self.replaces)


class OutputFile(Parameter):
    """A parameter that names a file which the last step writes.

    Args:
        name: of the option.
        printed: Python that prints the file's content from `data`, the artifacts of a finished run.
        help: for `--help`.
    """

    def __init__(self, name: str, *, printed: str, help: str) -> None:
        super().__init__(name, help=help)
        self.printed = printed


class check_files(FlowMutator):  # noqa: N801 - used as a decorator
    """When a run is started: refuse files that its tasks would not see, upload them if asked to, note the command."""

    def mutate(self, mutable_flow: MutableFlow) -> None:
        """Do so, once the decorators are known. Metaflow calls this for other commands too, which start no run.

        Raises:
            LaunchFailure: with every file that cannot be read or written where its step runs; without a metadata
                service.
        """
        context = click.get_current_context(silent=True)
        if context is None or context.info_name != "run":
            return
        values, started = context.params, context.params["launch"]
        remote = {name for name, step in mutable_flow.steps if any(map(step.has_decorator, REMOTE))}
        started["command"] = flow_command()
        started["with"] = list(values["decospecs"])
        if "start" in remote:
            started["git"] = code_state()
        project = dict(mutable_flow.configs)["project"].to_dict()
        parameters = [parameter for _, parameter in mutable_flow.parameters]
        files = list(_local_files(parameters, values, project))
        problems = [_LOCAL_METADATA] if remote and context.parent.params["metadata"] == "local" else []
        if {"start", "end"} & remote:
            problems += _unwritable(parameters, values, type(context.obj.flow).__name__)
        if files and "start" in remote and not values["upload"]:
            problems += [f"{option} = {path!r} is a file of this machine; {_CURE}" for path, option in files]
        if problems:
            listed = "\n  ".join(problems)
            raise LaunchFailure(f"Its tasks would run on machines that see no file of yours:\n  {listed}")
        if values["upload"]:
            started["uploaded"] = [_upload(path, option, project["data"], context) for path, option in files]


def stored_at(uri: str, launch: Mapping[str, Any]) -> str:
    """Return where the rows of a source are read: its uploaded copy if there is one, else the source itself.

    >>> stored_at("a.csv", {"uploaded": [{"uri": "a.csv", "stored": "s3://b/dlcycle-inputs/0f/a.csv"}]})
    's3://b/dlcycle-inputs/0f/a.csv'
    >>> stored_at("s3://b/c.csv", {})
    's3://b/c.csv'
    """
    return next((file["stored"] for file in launch.get("uploaded", ()) if file["uri"] == uri), uri)


def as_given(source: dict[str, Any], launch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a source under the name that the user gave it; `stored` says where its copy is.

    Raises:
        SourceError: the copy has other bytes than the file that was uploaded.
    """
    for file in launch.get("uploaded", ()):
        if source["uri"] == file["stored"]:
            if source["sha256"] != file["sha256"]:
                raise SourceError(
                    f"{file['stored']} is no copy of {file['uri']}: expected sha256 {file['sha256']}, got "
                    f"{source['sha256']}; delete it from the datastore and start the run again"
                )
            return source | {"uri": file["uri"], "name": Path(file["uri"]).name, "stored": file["stored"]}
    return source


def describe(uri: str, launch: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a source that was read apart from the dataset version, with the hash and size of its uploaded copy."""
    if not uri:
        return None
    return next((dict(file) for file in launch.get("uploaded", ()) if file["uri"] == uri), {"uri": uri})


def _local_files(
    parameters: list[Parameter], values: Mapping[str, Any], project: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yield each path that the first step reads and what names it."""
    for parameter in parameters:
        named = parameter.source(values, project) if isinstance(parameter, InputFile) else None
        # The start of an address, as dlcycle.data.source tells it from a path.
        if named and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|:)", named[0]):
            yield named


def _unwritable(parameters: list[Parameter], values: Mapping[str, Any], flow: str) -> Iterator[str]:
    for parameter in parameters:
        if isinstance(parameter, OutputFile) and (path := values.get(_variable(parameter.name))):
            code = f"from metaflow import Run; data = Run('{flow}/RUN_ID').data; {parameter.printed}"
            yield (
                f"--{parameter.name} {shlex.quote(path)} would be written on one of them; leave it out, and write it "
                f'when the run is done: python -c "{code}" > {shlex.quote(path)}'
            )


def _upload(path: str, option: str, settings: Mapping[str, Any], context: click.Context) -> dict[str, Any]:
    """Put a file into the datastore under its content hash, unless it is there; return path, hash, size and address."""
    from metaflow import S3

    from dlcycle.data.source import open_source

    top = context.parent.params
    if top["datastore"] != "s3":
        raise LaunchFailure(
            f"--upload: {option} = {path!r} can be put into an S3 datastore alone, and this run's is "
            f"{top['datastore']!r}; leave out --upload where tasks run on this machine, else name s3:// or https://"
        )
    promised = settings["sha256"] if option in ("data.source", "--data") else None
    try:
        with open_source(path, sha256=promised, max_megabytes=settings["max_megabytes"]) as file:
            # The name goes into an address, and its end tells the format.
            name = re.sub(r"[^A-Za-z0-9._-]+", "_", file.name)
            root = top["datastore_root"] or _configured_root()
            folder = f"{root.rstrip('/')}/{FOLDER}/{file.sha256}"
            with S3(s3root=folder) as store:
                store.put_files([(name, str(file.path))], overwrite=False)
    except DlcycleError as failure:
        raise LaunchFailure(f"{option}: {failure}") from None
    return {"option": option, "uri": path, "sha256": file.sha256, "bytes": file.size, "stored": f"{folder}/{name}"}


def _configured_root() -> str:
    from metaflow.metaflow_config import DATASTORE_SYSROOT_S3

    return str(DATASTORE_SYSROOT_S3)


def _variable(option: str) -> str:
    """The name under which click knows an option's value."""
    return option.replace("-", "_").lower()

"""Checks of Metaflow: configuration, datastore, cards, the code package."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dlcycle.errors import ConfigError
from dlcycle.flowkit.doctor.check import Check, Probed, run_probe

CARDS = ("dlcycle_eda", "dlcycle_train", "dlcycle_explain")
FLOW = "dlcycle.flows.train_flow"
STORE_SECONDS = 25.0
"""Time in which a datastore must write, read and delete a few bytes; Metaflow itself would try for many minutes."""
PACKAGE_SECONDS = 60.0
S3_CURE = "start or reach the server, check METAFLOW_S3_ENDPOINT_URL, METAFLOW_DATASTORE_SYSROOT_S3 and the AWS_* keys"
CONFIGURE = "see `metaflow configure` and `metaflow status`, or set the METAFLOW_* variables"


def check_user() -> Check:
    """Does Metaflow know who runs the flows?"""
    from metaflow.util import get_username

    if user := get_username():
        return Check("user", "ok", user)
    found = "METAFLOW_USER, SUDO_USER, USERNAME and USER are empty or root, which Metaflow refuses as unknown user"
    return Check("user", "bad", found, "export METAFLOW_USER=you")


def check_configuration() -> Check:
    """Where do runs, artifacts and metadata go, and does that fit together?"""
    from metaflow import metaflow_config
    from metaflow.plugins import DATASTORES

    kind, metadata = metaflow_config.DEFAULT_DATASTORE, metaflow_config.DEFAULT_METADATA
    root, profile = store_root(), os.environ.get("METAFLOW_PROFILE")
    found = f"datastore {kind} at {root or 'no place'}, metadata {metadata}"
    found += f", profile {profile}" if profile else ""
    known = [each.TYPE for each in DATASTORES]
    if kind not in known:
        return Check("metaflow", "bad", f"{found}: Metaflow knows {', '.join(known)}", CONFIGURE)
    if root is None:
        cure = f"set METAFLOW_DATASTORE_SYSROOT_{kind.upper()}; {CONFIGURE}"
        return Check("metaflow", "bad", f"{found}: the datastore has no root", cure)
    if metadata == "service" and not metaflow_config.SERVICE_URL:
        return Check("metaflow", "bad", f"{found}: it has no address", f"set METAFLOW_SERVICE_URL; {CONFIGURE}")
    if metadata == "service" and kind == "local":
        cure = f"set METAFLOW_DEFAULT_DATASTORE to a shared one; {CONFIGURE}"
        return Check("metaflow", "warn", f"{found}: others would see your runs but not their artifacts", cure)
    return Check("metaflow", "ok", found)


def store_root() -> str | None:
    """The root of the datastore that is configured; None if it has none. Creates nothing."""
    from metaflow.metaflow_config import DEFAULT_DATASTORE
    from metaflow.plugins import DATASTORES

    storage = next((each for each in DATASTORES if DEFAULT_DATASTORE == each.TYPE), None)
    root = storage and storage.get_datastore_root_from_config(lambda *_: None, create_on_absent=False)
    # Without any, the first run makes one where it is started.
    return root or (os.path.join(os.getcwd(), ".metaflow") if DEFAULT_DATASTORE == "local" else None)


def check_store() -> Check:
    """Do a few bytes that are written to the datastore come back?"""
    from metaflow import metaflow_config

    kind, root = metaflow_config.DEFAULT_DATASTORE, store_root()
    if kind not in ("local", "s3"):
        return Check("datastore", "warn", f"a datastore of kind {kind} is not probed", "run a small flow to see")
    if root is None:
        return Check("datastore", "bad", f"{kind} has no root", f"set METAFLOW_DATASTORE_SYSROOT_{kind.upper()}")
    where = root if kind == "local" else f"{root} at {s3_endpoint()}"
    name = f"dlcycle_doctor_{secrets.token_hex(6)}"
    with _leaving_nothing(Path(root), name, local=kind == "local"):
        probed = probe_store("store", kind, root, name)
    if not probed.failure:
        return Check("datastore", "ok", f"{where}: wrote, read back, compared and deleted 64 bytes")
    cut_off = probed.stage == "delete" or (probed.late and probed.stage in ("write", "read back"))
    left = f"; {root}/{name} may be left there" if kind == "s3" and cut_off else ""
    if kind == "local":
        cure = "make the folder writable, or set METAFLOW_DATASTORE_SYSROOT_LOCAL to another"
    else:
        cure = S3_CURE
    return Check("datastore", "bad", f"{where}: waited for: {probed.stage}: {probed.failure}{left}", cure)


def probe_store(*arguments: str) -> Probed:
    """Run a probe of a datastore that does not try again for minutes."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {
            # Metaflow stages what it reads from S3 in the working directory.
            "METAFLOW_ARTIFACT_LOCALROOT": folder,
            "METAFLOW_S3_RETRY_COUNT": "0",
            "METAFLOW_S3_CLIENT_RETRY_CONFIG": '{"max_attempts": 3, "mode": "standard"}',
        }
        return run_probe(*arguments, seconds=STORE_SECONDS, variables=variables)


def require_store(kind: str, root: str) -> None:
    """Make sure that a datastore answers before much is asked of it.

    Raises:
        ConfigError: it does not; Metaflow itself would try for many minutes without a word.
    """
    if kind == "s3" and (probed := probe_store("reach", kind, root)).failure:
        raise ConfigError(
            f"the datastore {root} at {s3_endpoint()} does not answer: waited for: {probed.stage}: {probed.failure}; "
            f"{S3_CURE}"
        )


def s3_endpoint() -> str:
    """Where S3 requests go."""
    from metaflow.metaflow_config import DATATOOLS_CLIENT_PARAMS

    configured = DATATOOLS_CLIENT_PARAMS.get("endpoint_url")
    return configured or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "Amazon S3"


@contextlib.contextmanager
def _leaving_nothing(root: Path, name: str, *, local: bool) -> Iterator[None]:
    """Remove afterwards what the probe of a local datastore made, and the folders above it that were not there."""
    made = [folder for folder in (root, *root.parents) if local and not folder.exists()]
    try:
        yield
    finally:
        if local:
            shutil.rmtree(root / name, ignore_errors=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def check_cards() -> Check:
    """Does Metaflow know the card types of the flows?"""
    missing = sorted(set(CARDS) - set(_registered_cards()))
    if missing:
        cure = "install dlcycle again (python -m pip install -e .); each card of a run would be an error page"
        return Check("cards", "bad", f"not registered with Metaflow: {', '.join(missing)}", cure)
    return Check("cards", "ok", f"{', '.join(CARDS)} are registered")


def check_package() -> Check:
    """Does the code package of a shipped flow hold dlcycle, its flows and its cards?"""
    wanted = _own_files()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package.tgz"
        variables = {
            "METAFLOW_USER": "doctor",
            "METAFLOW_DEFAULT_DATASTORE": "local",
            "METAFLOW_DEFAULT_METADATA": "local",
            "METAFLOW_DATASTORE_SYSROOT_LOCAL": folder,
        }
        command = [sys.executable, "-m", FLOW, "--no-pylint", "package", "save", str(package)]
        done = subprocess.run(
            command,
            # The command makes a datastore where it is started.
            cwd=folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=PACKAGE_SECONDS,
            check=False,
        )
        if done.returncode or not package.exists():
            lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            found = f"the package of {FLOW} cannot be built: {lines[-1] if lines else 'no message'}"
            return Check("code package", "bad", found, "install dlcycle again: python -m pip install -e .")
        with tarfile.open(package) as archive:
            held, size = set(archive.getnames()), package.stat().st_size / 1e6
    missing = sorted(wanted - held)
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        cure = "remote tasks would not find them: install dlcycle again, without a symbolic link on the way to it"
        return Check("code package", "bad", f"of {FLOW} lacks {listed}", cure)
    return Check("code package", "ok", f"{size:.1f} MB, {len(wanted)} files of dlcycle, its flows and its cards in it")


def _own_files() -> set[str]:
    """Where each module of dlcycle, its flows and its cards must lie in a code package."""
    import dlcycle
    import dlcycle.flows

    folders = {"dlcycle": dlcycle.__path__[0], "dlcycle/flows": dlcycle.flows.__path__[0]}
    registered = _registered_cards()
    for name in set(CARDS) & set(registered):
        package = registered[name].rpartition(".")[0]
        folders[package.replace(".", "/")] = os.path.dirname(str(sys.modules[package].__file__))
    return {
        f".mf_code/{place}/{file.relative_to(folder).as_posix()}"
        for place, folder in folders.items()
        for file in Path(folder).rglob("*.py")
    }


def _registered_cards() -> dict[str, str]:
    """The modules of all card types that Metaflow knows, by type."""
    import metaflow.plugins

    return {card.type: card.__module__ for card in metaflow.plugins.CARDS}  # type: ignore[attr-defined]

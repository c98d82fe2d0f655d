"""A word when the bucket of a run does not answer: Metaflow's own retries wait for minutes without one."""

import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

PROBE_SECONDS = 6.0
"""Time between two looks at the bucket."""
TIMEOUT_SECONDS = 3.0
"""Longest that a look waits to connect, and then to read."""
TRIES = 3
"""Requests of a look: a store that refuses some answers one of them."""
PATIENCE_SECONDS = 15.0
"""Silence after which the user is told. With the time that looks take it is less than 30 seconds."""
REPEAT_SECONDS = 60.0
"""Time after which they are told again."""

_silence: "Silence | None" = None
"""What this process knows of its bucket."""


def watch_storage(root: str, *, ask: "Callable[[], str | None] | None" = None) -> None:
    """Watch the bucket of a datastore for as long as this process lives, from a thread of its own; once a process.

    Args:
        root: of the datastore, such as `s3://bucket/metaflow`.
        ask: makes a look and returns what is wrong, None where the bucket answers; by default with Metaflow's settings.
    """
    global _silence
    if _silence is None:
        _silence = Silence(root, say=_say)
        arguments = (_silence, ask or _Bucket(root))
        threading.Thread(target=_look, args=arguments, name="storage watch", daemon=True).start()


def is_silent() -> bool:
    """Whether the user was told that the bucket does not answer, and it still does not."""
    return _silence is not None and _silence.told > 0


class Silence:
    """Decides, look by look, what the user is told of a bucket."""

    def __init__(self, root: str, *, say: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        """Start with a bucket that answers.

        Args:
            root: of the datastore, for messages.
            say: takes a line for the user.
            clock: seconds since 1970.
        """
        self.root, self.say, self.clock = root, say, clock
        self.told = 0.0
        """When the user was told last; 0 while the bucket answers."""
        self._answered, self._failed = clock(), 0.0

    def note(self, problem: str | None) -> None:
        """Take the result of a look: what is wrong, or None."""
        now = self.clock()
        if problem is None:
            if self.told:
                self.say(f"{self.root} answers again; it had not since {_time(self._failed)}")
            self._answered, self._failed, self.told = now, 0.0, 0.0
            return
        self._failed = self._failed or now
        if now - self._answered >= PATIENCE_SECONDS and now - self.told >= REPEAT_SECONDS:
            self.told = now
            self.say(f"waiting for {self.root}, which {problem}, since {_time(self._failed)}; still trying")


def _look(report: Silence, ask: Callable[[], str | None]) -> None:
    while True:
        # First, so that short commands never make a client.
        time.sleep(PROBE_SECONDS)
        report.note(ask())


class _Bucket:
    """Asks for a bucket as Metaflow would, but once and with little patience."""

    def __init__(self, root: str) -> None:
        self.name = urlsplit(root).netloc
        self.client: Any = None

    def __call__(self) -> str | None:
        from botocore.exceptions import BotoCoreError, ClientError

        problem = None
        for _ in range(TRIES):
            try:
                self.client = self.client or _client()
                self.client.head_bucket(Bucket=self.name)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                # A store that refuses what was asked for is there.
                if status < 500:
                    return None
                problem = f"answers {status}"
            except BotoCoreError as error:
                return f"cannot be connected to ({error})"
            # What a client may raise is open, and nobody reads what a thread raises.
            except Exception as error:
                return f"cannot be asked ({type(error).__name__}: {error})"
            else:
                return None
        return problem


def _client() -> Any:
    """A client with Metaflow's endpoint, certificates and credentials, and without its retries."""
    from botocore.config import Config
    from metaflow.metaflow_config import DATATOOLS_CLIENT_PARAMS, DATATOOLS_SESSION_VARS
    from metaflow.plugins.aws.aws_client import get_aws_client

    impatient = Config(
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    given = DATATOOLS_CLIENT_PARAMS.get("config")
    if isinstance(given, dict):
        given = Config(**given)
    config = given.merge(impatient) if given else impatient
    return get_aws_client(
        "s3", session_vars=DATATOOLS_SESSION_VARS, client_params={**DATATOOLS_CLIENT_PARAMS, "config": config}
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")


def _say(line: str) -> None:
    sys.stderr.write(f"dlcycle: {line}\n")
    sys.stderr.flush()

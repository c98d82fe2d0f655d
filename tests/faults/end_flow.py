"""A flow without training whose step `act` ends as HOW says, unless a file `mended` is there."""

import collections
import errno
import itertools
import os
import pathlib
import signal
import sys
import time

from metaflow import Parameter, retry, step, timeout

from dlcycle.errors import DataError
from dlcycle.flowkit import storage_watch, time_limit
from dlcycle.flowkit.base import BaseFlow


class EndFlow(BaseFlow):
    """Carries a number from its first step to its last."""

    how = Parameter("how", default="well")
    given = Parameter("number", default=7)

    @step
    def start(self):
        """Begin."""
        self.number = self.given
        self.next(self.act)

    @timeout(seconds=int(os.environ.get("LIMIT", "300")))
    @retry(times=0)
    @step
    def act(self):
        """End in that way."""
        if not pathlib.Path("mended").exists():
            getattr(self, self.how)()
        self.next(self.end)

    @step
    def end(self):
        """Say the number."""
        sys.stdout.write(f"The number is {self.number}\n")

    def well(self):
        """Do nothing."""

    def known(self):
        """Fail with a message."""
        raise DataError("row 3 has no label; give it one")

    def unknown(self):
        """Fail with a defect."""
        raise ZeroDivisionError("a defect")

    def leave(self):
        """End without a word."""
        os._exit(3)

    def kill(self):
        """Be killed."""
        os.kill(os.getpid(), signal.SIGKILL)

    def wait(self):
        """Wait in Python."""
        sys.stdout.write("It waits.\n")
        while True:
            time.sleep(0.1)

    def pause(self):
        """Wait until it is mended."""
        sys.stdout.write("It waits.\n")
        while not pathlib.Path("mended").exists():
            time.sleep(0.1)

    def hang(self):
        """Stay in C code that returns for no signal and lets no other thread run."""
        collections.deque(itertools.repeat(None), maxlen=0)

    def full(self):
        """Write more than a disk takes, where no file is named."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def large(self):
        """Leave an artifact of 40 MB, which Metaflow writes after the step."""
        self.rows = os.urandom(40_000_000)


if __name__ == "__main__":
    time_limit.GRACE_SECONDS = 1.0
    storage_watch.PROBE_SECONDS, storage_watch.PATIENCE_SECONDS = 0.3, 1.0
    EndFlow()

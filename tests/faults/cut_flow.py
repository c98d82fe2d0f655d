"""TrainFlow with networks that stop their task, or the whole run, at a batch of their first attempt.

What happens is in the environment variable CUT: SIGNAL:BATCH:WHO, where WHO is `task` or `run`. A file beside this one
remembers that it has happened.
"""

import os
import pathlib
import signal
import time

from dlcycle.flows.train_flow import TrainFlow

HERE = pathlib.Path(__file__).parent


class CutFlow(TrainFlow):
    """Trains the usual networks until they are cut off."""

    def build_model(self, spec):
        """Return the network, which counts its batches."""
        import torch

        from dlcycle.model.text import build_text_model

        class Cut(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.network, self.batches = build_text_model(spec), 0

            def forward(self, tokens, lengths):
                self.batches += self.training
                if self.training:
                    cut(self.batches, seed)
                return self.network(tokens, lengths)

        seed = self.input[1] if self.input else None
        return Cut()


def cut(batch, seed):
    """Send the signal, once, at its batch; if it is for the whole run, when the other task is in training too."""
    name, at, who = os.environ.get("CUT", "SIGTERM:0:task").split(":")
    happened = HERE / "happened"
    if batch != int(at) or happened.exists():
        return
    if who == "task":
        happened.touch()
        os.kill(os.getpid(), getattr(signal, name))
        return
    (HERE / f"waits {seed}").touch()
    while len(list(HERE.glob("waits *"))) < 2 or seed != 1:
        time.sleep(0.05)
    happened.touch()
    os.killpg(os.getpgid(0), getattr(signal, name))


if __name__ == "__main__":
    CutFlow()

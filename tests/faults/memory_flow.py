"""TrainFlow on a machine that seems to have little memory and kills the task in its first attempt."""

import os
import signal

from dlcycle.flows.train_flow import TrainFlow
from metaflow import current

LIMIT_MB = 600.0


class MemoryFlow(TrainFlow):
    """Trains the usual networks until the task is killed at its sixth batch."""

    def train_candidate(self, spec, seed, settings):
        """Train in a container that has little memory."""
        from dlcycle.train import memory

        memory.memory_limit_mb = lambda: LIMIT_MB
        return super().train_candidate(spec, seed, settings)

    def build_model(self, spec):
        """Return the network, which counts its batches."""
        import torch

        from dlcycle.model.text import build_text_model

        class Killed(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.network, self.batches = build_text_model(spec), 0

            def forward(self, tokens, lengths):
                self.batches += self.training
                if self.batches == 6 and current.retry_count == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return self.network(tokens, lengths)

        return Killed()


if __name__ == "__main__":
    MemoryFlow()

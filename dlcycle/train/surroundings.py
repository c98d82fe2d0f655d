"""What a training changes around itself, put back when it ends: torch's settings, and what Lightning says."""

import logging
import os
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from dlcycle.config import TrainSection


@contextmanager
def torch_settings(settings: TrainSection) -> Iterator[None]:
    """Set torch's threads and determinism and put them back."""
    deterministic: Any = torch.utils.deterministic
    threads, fill = torch.get_num_threads(), deterministic.fill_uninitialized_memory
    mode, workspace = torch.get_deterministic_debug_mode(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    torch.set_num_threads(settings.threads)
    if settings.deterministic:
        torch.use_deterministic_algorithms(True)
        # Filling fresh memory only matters to code that reads it unwritten, and costs a pass over every tensor.
        deterministic.fill_uninitialized_memory = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
        deterministic.fill_uninitialized_memory = fill
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide what Lightning says about itself: which devices it found, tips, and that one process loads the data."""
    packages = ("pytorch_lightning", "lightning_fabric")
    loggers = [logging.getLogger(f"{package}{part}") for package in packages for part in ("", ".utilities.rank_zero")]
    levels = {logger: logger.level for logger in loggers}
    try:
        for logger in levels:
            logger.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # Lightning knows another way only in which batches can go on in the middle of an epoch.
            warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")
            # Lightning 2.6.6 walks batches with a check that torch 2.13 deprecates.
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def seed_everything(seed: int) -> None:
    """Seed the global random numbers of Python, NumPy and torch with a number from 0 to 2**32 - 1."""
    random.seed(seed)
    np.random.seed(seed)
    # `torch.manual_seed` does both, but formats the stack to say where, which is too slow for each batch.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)

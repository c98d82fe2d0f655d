"""The record of what made a result: the machine, what was used of it, the commit and the price."""

import contextlib
import os
import platform
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_TOOL_SECONDS = 10
_SAMPLE_SECONDS = 5.0
_MEGABYTE = 1024 * 1024


def machine() -> dict[str, Any]:
    """The machine of this process.

    Returns:
        {"platform", "cpu", "cores" (that this process may use), "memory_gb" (None if unknown), "gpus" (names)}.
    """
    limit = memory_limit_mb()
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": _cores(),
        "memory_gb": None if limit is None else round(limit / 1024, 1),
        "gpus": _gpu_names(),
    }


class ResourceMeter:
    """Measures what a block of code uses; `usage` holds the result, also after an error.

    `usage` is {"seconds", "cpu_seconds" (of this process and of children that ended), "cpu_cores" (mean number of busy
    cores), "peak_memory_mb" (high-water mark of this process since it began), "gpu_memory_mb" (peak of all GPUs
    together), "gpu_utilisation" (mean, 0 to 1)}; the last two are None where no GPU was used or could be asked.

    >>> with ResourceMeter() as meter:
    ...     _ = sum(range(1000))
    >>> meter.usage["seconds"] >= 0
    True
    """

    def __init__(self) -> None:
        """Start with no figures."""
        self.usage: dict[str, float | None] = {}
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None
        self._gpu_samples: list[float] = []

    def __enter__(self) -> Self:
        """Begin to measure."""
        cuda = _cuda()
        if cuda is not None:
            if cuda.is_initialized():
                for index in range(cuda.device_count()):
                    cuda.reset_peak_memory_stats(index)
            self._sampler = threading.Thread(target=self._sample_gpu, name="gpu-utilisation", daemon=True)
            self._sampler.start()
        self._wall, self._cpu = time.perf_counter(), _cpu_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the figures into `usage`."""
        wall, cpu = time.perf_counter() - self._wall, _cpu_seconds() - self._cpu
        self._stop.set()
        if self._sampler is not None:
            self._sampler.join(_TOOL_SECONDS)
        samples = self._gpu_samples
        self.usage = {
            "seconds": wall,
            "cpu_seconds": cpu,
            "cpu_cores": cpu / wall if wall > 0 else 0.0,
            "peak_memory_mb": peak_memory_mb(),
            "gpu_memory_mb": _gpu_memory_mb(),
            "gpu_utilisation": sum(samples) / len(samples) if samples else None,
        }

    def _sample_gpu(self) -> None:
        while True:
            sample = _gpu_utilisation()
            if sample is not None:
                self._gpu_samples.append(sample)
            if sample is None or self._stop.wait(_SAMPLE_SECONDS):
                return


def memory_limit_mb() -> float | None:
    """MB of memory of the machine, or of the container if that may use less; None if unknown."""
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(os.sysconf_names):
        return None
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        with contextlib.suppress(OSError, ValueError):
            size = min(size, int(limit.read_text()))
    return size / _MEGABYTE


def peak_memory_mb() -> float:
    """Most MB of memory that this process has held at once."""
    # Where the kernel tells it, not ru_maxrss: a new process inherits that from the one that started it.
    if (peak := process_status_mb("VmHWM")) is not None:
        return peak
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / _MEGABYTE if sys.platform == "darwin" else most / 1024


def process_status_mb(name: str) -> float | None:
    """A figure of the kernel about this process, such as VmPeak, in MB; None where there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        return int(status.get(name, "").split()[0]) / 1024
    return None


def git_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The commit that a folder's code is at.

    Args:
        path: A folder, or a file in it.

    Returns:
        {"commit", "branch" (None if detached), "dirty" (tracked files changed), "untracked" (number of entries that git
        does not know), "repository" (address of the remote `origin` without credentials, or None)}; or {"commit": None,
        "reason"} where there is no git, no repository or no commit.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    try:
        commit = _git(folder, "rev-parse", "--verify", "HEAD")
        if commit is None:
            inside = _git(folder, "rev-parse", "--git-dir")
            reason = "the repository has no commit yet" if inside else "the code is not in a git repository"
            return {"commit": None, "reason": reason}
        status = _git(folder, "status", "--porcelain") or ""
        remote = _git(folder, "config", "--get", "remote.origin.url")
        lines = status.splitlines()
        return {
            "commit": commit,
            "branch": _git(folder, "symbolic-ref", "--short", "-q", "HEAD"),
            "dirty": any(not line.startswith("??") for line in lines),
            "untracked": sum(line.startswith("??") for line in lines),
            "repository": redact_url(remote) if remote else None,
        }
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {"commit": None, "reason": "git is not installed, or the folder cannot be read"}
    except subprocess.TimeoutExpired:
        return {"commit": None, "reason": f"git did not answer within {_TOOL_SECONDS} s"}


def redact_url(url: str) -> str:
    """An address without user, password, query and fragment.

    >>> redact_url("https://me:secret@example.org/team/code.git?token=secret")
    'https://example.org/team/code.git'
    >>> redact_url("git@example.org:team/code.git")
    'git@example.org:team/code.git'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    # Everything up to the last @ goes: a password may hold / or @ where it was not encoded.
    return f"{scheme}://{re.split(r'[?#]', rest.rpartition('@')[2])[0]}"


def cost(seconds: float, price_per_hour: float | None) -> dict[str, Any]:
    """Price of the seconds of a machine: {"amount", "price_per_hour"}, and "reason" where there is no price.

    >>> cost(1800, 3.0)
    {'amount': 1.5, 'price_per_hour': 3.0}
    """
    if price_per_hour is None:
        return {"amount": None, "price_per_hour": None, "reason": "train.price_per_hour is not given"}
    return {"amount": seconds / 3600 * price_per_hour, "price_per_hour": price_per_hour}


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, None if it fails; it takes no lock, asks nothing and starts no file monitor."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    result = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TOOL_SECONDS,
        check=False,
    )
    return result.stdout.decode(errors="replace").rstrip("\n") if result.returncode == 0 else None


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cuda() -> Any:
    """torch.cuda if torch is loaded and sees a GPU; never loads torch itself."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _gpu_names() -> list[str]:
    cuda = _cuda()
    return [] if cuda is None else [cuda.get_device_name(index) for index in range(cuda.device_count())]


def _gpu_memory_mb() -> float | None:
    cuda = _cuda()
    if cuda is None or not cuda.is_initialized():
        return None
    return sum(cuda.max_memory_reserved(index) for index in range(cuda.device_count())) / _MEGABYTE


def _gpu_utilisation() -> float | None:
    """Mean share of time in which the visible GPUs computed, from the driver's own tool; None if it cannot tell."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    chosen = ["-i", visible] if visible else []
    command = ["nvidia-smi", *chosen, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_SECONDS, check=True)
        values = [float(line) for line in result.stdout.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return sum(values) / len(values) / 100 if values else None


def _cpu_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime

"""What commands cost: CPU time of `show` against an empty flow's, and `make demo` in seconds and memory.

    python benchmarks/command_cost.py [--repeats 9] [--demo]

`--demo` also runs `make demo` in this checkout, after its installation.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

EMPTY_FLOW = """
from metaflow import FlowSpec, step

class EmptyFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    EmptyFlow()
"""


def cpu_seconds(*command: str) -> float:
    """User and system time of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"METAFLOW_USER": "benchmark"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def show_cost(repeats: int) -> None:
    """Print the CPU time of `show` for both flows, measured in turns."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty_flow.py"
        empty.write_text(EMPTY_FLOW)
        pairs = []
        for _ in range(repeats + 1):
            own = cpu_seconds(sys.executable, str(ROOT / "flows" / "train_flow.py"), "show")
            pairs.append((own, cpu_seconds(sys.executable, str(empty), "show")))
    own, other = (statistics.median(side) for side in zip(*pairs[1:], strict=True))
    ratio = statistics.median(a / b for a, b in pairs[1:])
    print(f"{'train_flow.py show, CPU':<32}{own:>9.3f} s   empty flow {other:.3f} s   ratio {ratio:.2f}")


def memory_of_group(group: int) -> int:
    """Bytes that all processes of a group hold, shared pages counted once in parts (PSS)."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except (OSError, ValueError):
            continue  # the process ended while it was being read
    return total


def demo_cost() -> None:
    """Print wall time and peak memory of `make demo`."""
    started = time.perf_counter()
    process = subprocess.Popen(["make", "demo"], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of_group(process.pid))
        time.sleep(0.2)
    seconds = time.perf_counter() - started
    print(f"{'make demo, wall':<32}{seconds:>9.1f} s   peak {peak / 1e9:.2f} GB   exit {process.returncode}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--demo", action="store_true")
    arguments = parser.parse_args()
    show_cost(arguments.repeats)
    if arguments.demo:
        demo_cost()


if __name__ == "__main__":
    main()

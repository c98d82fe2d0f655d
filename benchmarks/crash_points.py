"""What becomes of runs whose scheduler or worker is killed with SIGKILL at a rename, for all three flows.

    python benchmarks/crash_points.py [--chains 6] [--flows TrainFlow EdaFlow ExplainFlow]

A chain is a run that is killed in one step after the other and resumed each time: the step's worker at a rename of its
own, the scheduler at one of its own, or the scheduler at one of the worker (`parent`), which lives on beside the run
that resumes. There are `--chains` of each kind and flow, spread evenly over all renames, 0 for all of them.
`right` counts crashes after which `resume` went on to the result of a run that was left alone, artifact for artifact;
`clear` those after which it says that nothing of the run was recorded and that it must be started again.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from faults.crash_kit import FLOWS, KINDS, Crashes, Outcome, plan, prepare
from flow_runner import Workspace


def survive_all(flow: str, folder: Path, kinds: list[str], count: int) -> dict[str, Outcome]:
    """Crash the flow in chains of each kind; return what became of them."""
    template = folder / flow
    options = prepare(template, flow)

    def crashes(name: str) -> Crashes:
        shutil.copytree(template, folder / name)
        return Crashes(Workspace(folder / name), flow, options)

    expected, counts = crashes("untouched").untouched()
    print(f"{flow}: {sum(counts.values())} renames, {counts}", flush=True)
    outcomes = {}
    for kind in kinds:
        total = outcomes[kind] = Outcome()
        for points in plan(counts, kind, count):
            began, outcome = time.perf_counter(), crashes("crashes").survive(points, expected)
            total.add(outcome)
            shown = ", ".join(f"{point.process} {point.number}" for point in points)
            seconds = time.perf_counter() - began
            print(f"  {seconds:5.0f} s  right {len(outcome.right)} clear {len(outcome.clear)}  of {shown}", flush=True)
            for problem in outcome.wrong:
                print(f"  WRONG {problem}", flush=True)
            shutil.rmtree(folder / "crashes")
    shutil.rmtree(folder / "untouched")
    return outcomes


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", type=int, default=6)
    parser.add_argument("--flows", nargs="*", choices=list(FLOWS), default=list(FLOWS))
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for flow in arguments.flows:
            outcomes = survive_all(flow, Path(folder), arguments.kinds, arguments.chains)
            rows += [(flow, kind, outcome) for kind, outcome in outcomes.items()]
    print(f"\n{'flow':<12} {'killed':<10} {'points':>6} {'right':>6} {'clear':>6} {'wrong':>6} {'not reached':>12}")
    for flow, kind, outcome in rows:
        good, clear, wrong, missed = (
            len(group) for group in (outcome.right, outcome.clear, outcome.wrong, outcome.not_reached)
        )
        print(f"{flow:<12} {kind:<10} {good + clear + wrong:>6} {good:>6} {clear:>6} {wrong:>6} {missed:>12}")


if __name__ == "__main__":
    main()

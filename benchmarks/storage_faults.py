"""What a store that refuses requests costs, and whether the three flows end with the same results all the same.

    python benchmarks/storage_faults.py [--shares 0 0.1 0.3]

Runs EdaFlow, TrainFlow and ExplainFlow on generated rows against the tests' stand-in for S3, which answers a share of
all requests with 503. It is no S3: its times say how often Metaflow waited, and nothing of a real store.
"""

import argparse
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from flow_runner import EDA_FLOW, EXPLAIN_FLOW, FLOW, Workspace  # noqa: E402
from s3_server import s3_server  # noqa: E402

PROJECT = """
[data]
sample_rows = 300
merge_label_variants = true
[model]
candidates = [{architecture = "bag", embedding = 16}]
[train]
epochs = 3
threads = 1
[eda]
detect_languages = false
folds = 2
[explain]
detect_languages = false
perturbations = ["typos"]
overall_rows = 20
check_rows = 10
swap_rows = 10
steps = 10
threads = 1
"""
RESULTS = {
    EDA_FLOW: "data.data_fingerprint, data.quality['grade'], len(data.findings)",
    FLOW: "data.model['description']['sha256']['weights'], data.metrics['accuracy']['value']",
    EXPLAIN_FLOW: "data.answer['badge'], data.robustness['clean']['value'] if 'clean' in data.robustness else ''",
}


def measure(share: float) -> list[tuple[str, float, int, int, str]]:
    """Run the flows one after the other; return name, seconds, requests, refused and the result of each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, s3_server() as bucket:
        bucket.refused_share = share
        workspace = Workspace(pathlib.Path(folder), variables=bucket.variables())
        for flow, result in RESULTS.items():
            before, started = (bucket.requests, bucket.refused), time.perf_counter()
            done = workspace.run(project=PROJECT, flow=flow)
            seconds = time.perf_counter() - started
            requests, refused = bucket.requests - before[0], bucket.refused - before[1]
            if done.code:
                print(done.output[-3000:])
                rows.append((flow.stem, seconds, requests, refused, f"exit code {done.code}"))
                continue
            said = sum("dlcycle: waiting" in line for line in done.output.splitlines())
            name = "".join(part.title() for part in flow.stem.split("_"))
            bucket.refused_share = 0.0
            code = f"from metaflow import Run; data = Run('{name}/{done.run_id}').data; print({result})"
            rows.append((flow.stem, seconds, requests, refused, f"{workspace.client(code)}; {said} notes"))
            bucket.refused_share = share
    return rows


def main() -> None:
    """Print a line for each flow and share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.3])
    print(f"{'flow':<14}{'refused':>9}{'seconds':>9}{'requests':>10}{'of them 503':>13}  result")
    for share in parser.parse_args().shares:
        for name, seconds, requests, refused, result in measure(share):
            print(f"{name:<14}{share:>9.0%}{seconds:>9.1f}{requests:>10}{refused:>13}  {result}", flush=True)


if __name__ == "__main__":
    main()

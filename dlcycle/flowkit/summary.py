"""The end of a run in the terminal: what came out, what it rests on, and what to type next."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from metaflow import current

from dlcycle.errors import GateError
from dlcycle.flowkit.failures import flow_command, resume_options

_TITLES = {"accuracy": "accuracy", "macro_f1": "macro F1"}


def describe_result(flow: Any) -> str:
    """Return the lines that end a run: metrics with their intervals, the baseline's, the verdict, the next commands."""
    return "\n".join(_lines(flow.metrics, flow.baseline_metrics, flow.comparison, flow.gates, flow.candidate_report))


def _lines(
    metrics: Mapping[str, Any],
    baseline: Mapping[str, Any],
    comparison: Mapping[str, Any],
    gates: Mapping[str, Any],
    candidate: Mapping[str, Any],
) -> Iterator[str]:
    tested = metrics["accuracy"]["n"]
    yield ""
    yield f"Result on {tested:,} test rows that no step of training saw"
    names = {f"{candidate['name']}, seed {candidate['seed']}": metrics, f"baseline, {baseline['name']}": baseline}
    width = max(map(len, names))
    for name, measured in names.items():
        yield f"  {name:<{width}}  " + "  ".join(
            f"{title} {_interval(measured[key])}" for key, title in _TITLES.items()
        )
    yield comparison["sentence"]
    if gates["criteria"] or gates["later"]:
        yield gates["sentence"]
    yield ""
    yield f"The card:              {flow_command()} card view {current.run_id}/evaluate"
    yield f"Resume a step of it:   {flow_command()} resume evaluate{resume_options()} --origin-run-id {current.run_id}"


def _interval(metric: Mapping[str, Any]) -> str:
    if metric["value"] is None:
        return f"not measured ({metric.get('reason', 'unknown reason')})"
    return f"{metric['value']:.4f} [{metric['low']:.4f}, {metric['high']:.4f}]"


def enforce_gates(gates: Mapping[str, Any], *, fail_run: bool, card_step: str) -> None:
    """Fail the run for a missed success criterion, if the project asks for that.

    Args:
        gates: what `dlcycle.plan.criteria.judge_criteria` returned.
        fail_run: whether the project asks for it.
        card_step: step whose card shows the result, for the message.

    Raises:
        GateError: with the criteria that were missed.
    """
    missed = [criterion["sentence"] for criterion in gates["criteria"] if not criterion["met"]]
    if fail_run and missed:
        listed = "\n  ".join(missed)
        raise GateError(
            f"{len(missed)} of {len(gates['criteria'])} success criteria missed, and gates.fail_run is true:\n"
            f"  {listed}\nEverything the run made is saved; `run.data` and the card of step {card_step} show it."
        )


def describe_data(flow: Any) -> str:
    """Return the lines that end a look at data: grade, verdict, pillars, open decisions, the next commands."""
    quality, findings = flow.quality, flow.findings
    lines = ["", f"Grade {quality['grade']}: {quality['verdict']['sentence']}"]
    lines += [f"  {p['grade']}  {p['name']:<18} {' '.join(p['summary'].split())}" for p in quality["pillars"]]
    decisions = [finding for finding in findings if finding["decision"]]
    if decisions:
        lines += ["", f"Decisions to take, the first {min(3, len(decisions))} of {len(decisions)}:"]
        lines += [f"  {finding['title']}: {finding['decision']}" for finding in decisions[:3]]
    config = _config(flow)
    lines += ["", f"The card:            {flow_command()} card view {current.run_id}/judge"]
    if flow.data_fingerprint:
        train = flow_command().replace("eda_flow", "train_flow")
        lines.append(f"Train on this data:  {train}{config} run --eda-run {current.flow_name}/{current.run_id}")
    if not flow.write_schema:
        data = f" --data {shlex.quote(flow.data)}" if flow.data else ""
        lines.append(f"Freeze its schema:   {flow_command()}{config} run{data} --write-schema schema.toml")
    return "\n".join(lines)


def describe_explanation(flow: Any) -> str:
    """Return the lines that end an explanation: the answer, what to do first, the next commands."""
    answer = flow.answer
    lines = ["", f"{answer['badge']}: {answer['sentence']}", *(f"  {detail}" for detail in answer["details"])]
    wanted = [item for item in flow.todo if item["level"] in ("fix", "decide")][:3]
    if wanted:
        lines += ["", "What to do first:", *(f"  {item['title']} {item['action']}".rstrip() for item in wanted)]
    lines += ["", f"The card:            {flow_command()} card view {current.run_id}/judge"]
    if flow.slices["listed"] and not flow.write_work_list:
        options = f"--train-run {flow.explained['run']} --write-work-list work_list.csv"
        lines.append(f"Rows to look at:     {flow_command()}{_config(flow)} run {options}")
    return "\n".join(lines)


def _config(flow: Any) -> str:
    """The option that names the project file; its path is not known here."""
    return "" if flow.project["project"]["name"] == "sample" else " --config project FILE"

"""Runs of `faults/end_flow.py` in a workspace, and what their users read at the end."""

import pathlib
import re
import signal
import subprocess
from collections.abc import Callable, Sequence

from flow_runner import Finished, Workspace

FLOW = pathlib.Path(__file__).parent / "faults" / "end_flow.py"


def call(workspace: Workspace, *arguments: str, limit: int = 300) -> Finished:
    """Call the flow with a command of Metaflow."""
    own = Workspace(workspace.folder, variables={**workspace.variables, "LIMIT": str(limit)})
    return own.call(FLOW, "--no-pylint", *arguments)


def call_and(
    workspace: Workspace, *arguments: str, reactions: Sequence[tuple[str, Callable[[subprocess.Popen[str]], None]]]
) -> Finished:
    """Call the flow as the leader of a process group, and react to what it says.

    Args:
        workspace: where.
        arguments: the command.
        reactions: patterns of lines with what is done when the first such line was said.
    """
    (workspace.folder / ".metaflow").mkdir(exist_ok=True)
    lines, left = [], list(reactions)
    with subprocess.Popen(
        [workspace.python, FLOW, "--no-pylint", *arguments],
        cwd=workspace.folder,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell starts commands in the background, as CI may be, with Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        for said in process.stdout:
            lines.append(said)
            for reaction in [reaction for reaction in left if re.search(reaction[0], said)]:
                left.remove(reaction)
                reaction[1](process)
    assert not left, "".join(lines)
    return Finished(process.returncode, "".join(lines))


def last_lines(done: Finished) -> tuple[str, str | None, str]:
    """What failed, the command that shows its log, if there is one, and the command that goes on."""
    found = re.search(r"\n(Run \d+ .*)\n(?:  Its log:  (.*)\n)?  Go on:    (.*)\n$", done.output)
    assert found, done.output
    return found[1], found[2], found[3]


def goes_on(workspace: Workspace, command: str) -> Finished:
    """Mend the flow and type a command that the user was shown."""
    (workspace.folder / "mended").touch()
    (workspace.folder / ".metaflow").mkdir(exist_ok=True)
    done = subprocess.run(
        command,
        shell=True,
        cwd=workspace.folder,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Finished(done.returncode, done.stdout + done.stderr)

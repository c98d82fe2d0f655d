"""Commands beside the flows: is this machine ready (doctor), and is what a run stored still whole (verify).

python -m dlcycle doctor [--config FILE] [--with kubernetes] [--json]
python -m dlcycle verify FLOW/RUN [--json]

Exit codes: 0 all is well, 1 something is not, 2 the question could not be answered.
"""

import argparse
import sys
from collections.abc import Sequence

from dlcycle.errors import DlcycleError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.command == "doctor":
            from dlcycle.flowkit.doctor.report import main as diagnose

            return diagnose(config=chosen.config, kubernetes=chosen.extra == "kubernetes", as_json=chosen.json)
        from dlcycle.flowkit import verify

        return verify.main(chosen.run, as_json=chosen.json)
    except DlcycleError as failure:
        sys.stderr.write(f"{failure}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m dlcycle", description="Commands beside the flows of dlcycle.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="Is this machine ready to run the flows? One line a check.")
    doctor.add_argument("--config", metavar="FILE", help="project file, whose tasks' machine is asked for too")
    doctor.add_argument("--with", dest="extra", choices=["kubernetes"], help="check what running there needs, too")
    verify = commands.add_parser("verify", help="Is everything that a run stored still whole? Hashes it again.")
    verify.add_argument("run", metavar="FLOW/RUN", help="such as TrainFlow/1763681000")
    for command in (doctor, verify):
        command.add_argument("--json", action="store_true", help="write JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The README, taken apart: its commands, its code and its sections."""

import re

from flow_runner import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    """Fenced blocks of the README, or of a part of it, in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str = README) -> list[str]:
    """Every `python` command of the README, or of a part of it, comments taken off."""
    lines = [line.split("  #")[0].strip() for block in blocks("sh", text) for line in block.splitlines()]
    return [line for line in lines if line.startswith("python ")]


def section(title: str) -> str:
    """Text of the README under a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


CLUSTER = commands(section("Run on a cluster"))
"""Commands that need a cluster or a scheduler."""
GANG = next(command for command in commands() if "gang_flow.py" in command)
"""The command that trains with several workers."""

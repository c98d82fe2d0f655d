"""The image of a task: built by the commands of the Makefile from the same versions, and run by nobody special."""

import configparser
import fnmatch
import pathlib
import re
import shlex
from collections.abc import Callable

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

Line = tuple[str, str]
"""An instruction and what follows it."""


def instructions(text: str) -> list[Line]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0].upper(), line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def shell_commands(text: str) -> list[list[str]]:
    """The words of each command of each RUN."""
    return [shlex.split(part) for name, rest in instructions(text) if name == "RUN" for part in rest.split("&&")]


def installs(commands: list[list[str]]) -> list[tuple[str, list[str]]]:
    """The constraints file and the requirements of each `pip install`, options that change no version left out."""
    found = []
    for words in commands:
        if "pip" not in words or "install" not in words:
            continue
        rest, constraints, wanted = iter(words[words.index("install") + 1 :]), "", []
        for word in rest:
            if word in ("-c", "--constraint"):
                constraints = next(rest)
            elif word in ("--extra-index-url", "--index-url"):
                next(rest)
            elif not word.startswith("-"):
                wanted.append(re.sub(r"^\.\[.*\]$", ".", word))
        found.append((constraints, wanted))
    return found


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the top level out; the last pattern that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.strip() and not line.startswith("#") and fnmatch.fnmatch(path, line.removeprefix("!")):
            out = not line.startswith("!")
    return out


# Each rule returns what is wrong, or "".


def base_has_a_version(lines: list[Line]) -> str:
    bases = [rest.split()[0] for name, rest in lines if name == "FROM"]
    return ", ".join(base for base in bases if ":" not in base or base.endswith(":latest"))


def ends_as_an_ordinary_user(lines: list[Line]) -> str:
    users = [rest for name, rest in lines if name == "USER"]
    # Kubernetes checks runAsNonRoot by number: a name says nothing to it.
    return "" if users and users[-1].isdigit() and users[-1] != "0" else f"USER {users[-1:]}"


def ends_in_a_folder_of_the_user(lines: list[Line]) -> str:
    folders = [rest for name, rest in lines if name == "WORKDIR"]
    made = [rest for name, rest in lines if name == "RUN" and "useradd --create-home" in rest]
    return "" if made and folders and folders[-1].startswith("/home/") else f"WORKDIR {folders[-1:]}"


def installs_leave_no_cache(lines: list[Line]) -> str:
    runs = [rest for name, rest in lines if name == "RUN" and "pip install" in rest]
    return ", ".join(rest for rest in runs if rest.count("--no-cache-dir") < rest.count("pip install"))


def copies_what_is_there_by_name(lines: list[Line]) -> str:
    sources = [source for name, rest in lines if name == "COPY" for source in rest.split()[:-1]]
    wrong = [source for source in sources if source == "." or not (ROOT / source).exists() or ignored(source)]
    return ", ".join(wrong + [rest for name, rest in lines if name == "ADD"])


def keeps_no_secret(lines: list[Line]) -> str:
    set_here = [rest for name, rest in lines if name in ("ARG", "ENV")]
    return ", ".join(rest for rest in set_here if re.search(r"TOKEN|SECRET|PASSWORD|ACCESS_KEY", rest, re.IGNORECASE))


def metaflow_installs_nothing(lines: list[Line]) -> str:
    environment = " ".join(rest for name, rest in lines if name == "ENV")
    return "" if "METAFLOW_SKIP_INSTALL_DEPENDENCIES=1" in environment.split() else environment or "no ENV"


RULES: dict[Callable[[list[Line]], str], str] = {
    base_has_a_version: "FROM python",
    ends_as_an_ordinary_user: "USER 1000\nUSER root",
    ends_in_a_folder_of_the_user: "WORKDIR /build",
    installs_leave_no_cache: "RUN python -m pip install -c constraints.txt torch",
    copies_what_is_there_by_name: "COPY . .",
    keeps_no_secret: "ENV AWS_SECRET_ACCESS_KEY=abc",
    metaflow_installs_nothing: "ENV METAFLOW_SKIP_INSTALL_DEPENDENCIES=",
}
"""The rules, and a line that breaks each."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_dockerfile_keeps_the_rule_and_a_bad_one_does_not(rule: Callable[[list[Line]], str]) -> None:
    assert rule(instructions(DOCKERFILE)) == ""
    assert rule(instructions(RULES[rule])) != ""


def test_the_image_is_installed_by_the_commands_of_the_makefile() -> None:
    made = [shlex.split(line.strip()) for line in MAKEFILE.splitlines() if "pip install" in line]
    assert (
        installs(shell_commands(DOCKERFILE))
        == installs(made)
        == [("constraints.txt", ["torch"]), ("constraints.txt", ["."])]
    )
    other = DOCKERFILE.replace("-c constraints.txt . ", ". ")
    assert installs(shell_commands(other)) != installs(made)


def test_the_image_has_the_python_of_the_makefile() -> None:
    python = re.search(r"^PYTHON \?= python(\S+)", MAKEFILE, flags=re.MULTILINE)
    assert python
    assert instructions(DOCKERFILE)[0] == ("FROM", f"python:{python[1]}-slim")


def test_the_image_lacks_dlcycle_and_has_all_that_it_needs() -> None:
    assert ["python", "-m", "pip", "uninstall", "--yes", "dlcycle"] in shell_commands(DOCKERFILE)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["install_requires"] + setup["options.extras_require"]["kubernetes"]
    needed = [Requirement(line) for line in listed.splitlines() if line and not line.startswith("#")]
    assert len(needed) > 15
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    wrong = [str(want) for want in needed if want.name not in pins or pins[want.name] not in want.specifier]
    assert not wrong
    # What Metaflow installs in a pod unless METAFLOW_SKIP_INSTALL_DEPENDENCIES is set.
    assert {"boto3", "requests"} <= pins.keys()


def test_nothing_private_reaches_the_build() -> None:
    assert all(ignored(path) for path in (".git", ".venv", ".metaflow", "tests", "configs", "data.csv", ".env"))
    assert not ignored("dlcycle")

"""The Dockerfile, what is installed in the image and the list of it; no Docker engine is needed."""

import ast
import fnmatch
import json
import re
import subprocess
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.compose import BASE, ROOT, defaults, read

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)
COMMANDS = {
    service["command"][2] for service in read(BASE)["services"].values() if "build" in service
}


class Package(NamedTuple):
    """A package of a lock file."""

    version: str
    marker: str
    sha256: frozenset[str]


def locked(name: str) -> dict[str, Package]:
    """The packages of a lock file, by name."""
    return {
        name: Package(version, marker, frozenset(re.findall("[0-9a-f]{64}", hashes)))
        for name, version, marker, hashes in PACKAGE.findall((ROOT / name).read_text())
    }


def needed_to_run() -> set[str]:
    """What the project's runtime dependencies come to here, as the installed packages say."""
    found: set[tuple[str, str]] = set()
    todo = [(text, "") for text in PROJECT["project"]["dependencies"]]
    while todo:
        text, extra = todo.pop()
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted in {"", *requirement.extras}:
            if (name, wanted) not in found:
                found.add((name, wanted))
                todo += [(text, wanted) for text in requires(name) or []]
    return {name for name, _ in found}


def applies_here(package: Package) -> bool:
    return not package.marker or Requirement(f"x ; {package.marker}").marker.evaluate()  # type: ignore[union-attr]


def instructions() -> list[tuple[str, ...]]:
    """The Dockerfile's instructions, one tuple of words each."""
    lines = (ROOT / "Dockerfile").read_text()
    lines = re.sub(r"^\s*#.*\n", "", lines, flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split()) for line in lines.splitlines() if line.strip()]


def last_stage() -> list[tuple[str, ...]]:
    """The instructions of the image that is kept."""
    found = instructions()
    return found[max(i for i, words in enumerate(found) if words[0] == "FROM") :]


def packages_reached(packages: Iterable[str]) -> set[str]:
    """These packages of the project and those they import, directly or through others."""
    reached: set[str] = set()
    todo = set(packages)
    while todo:
        package = todo.pop()
        reached.add(package)
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                roots = {name.partition(".")[0] for name in names}
                todo |= {root for root in roots if (ROOT / root).is_dir()} - reached
    return reached


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    copied = [w[1:-1] for w in instructions() if w[0] == "COPY" and not w[1].startswith("--from")]
    sources = [source for group in copied for source in group]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignore, source
    assert set(sources) == {entry[1:] for entry in ignore if entry.startswith("!")}
    assert set(sources) >= COMMANDS


def test_the_image_holds_exactly_the_packages_that_run() -> None:
    copied = {w[1] for w in last_stage() if w[0] == "COPY" and not w[1].startswith("--from")}
    copied.remove("pyproject.toml")  # it says which version runs
    setuptools = PROJECT["tool"]["setuptools"]
    assert copied == packages_reached(COMMANDS)
    assert {f"{package}*" for package in copied} == set(setuptools["packages"]["find"]["include"])
    patterns = setuptools["package-data"]["sql"]
    data = list((ROOT / "sql").rglob("*.sql"))
    assert data
    for path in data:
        name = path.relative_to(ROOT / "sql").as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def test_the_image_installs_the_locked_runtime_packages_alone() -> None:
    installs = [" ".join(words) for words in instructions() if "install " in " ".join(words)]
    packages = [text for text in installs if re.search(r"\b(pip|uv|apt-get) ", text)]
    assert len(packages) == 1
    assert "--require-hashes" in packages[0]
    assert packages[0].endswith("--requirement runtime.lock")


def test_the_runtime_lock_is_the_part_of_the_lock_that_runs() -> None:
    everything, runtime = locked("requirements.lock"), locked("runtime.lock")
    assert len(runtime) == len(
        re.findall(r"^\S+==", (ROOT / "runtime.lock").read_text(), re.MULTILINE)
    )
    here = {name for name, package in runtime.items() if applies_here(package)}
    assert here == needed_to_run() and len(here) > 10
    for name, package in runtime.items():
        assert (package.version, package.sha256) == (
            everything[name].version,
            everything[name].sha256,
        )


def test_no_lock_names_an_address() -> None:
    for name in ("requirements.lock", "runtime.lock"):
        assert "://" not in (ROOT / name).read_text()


def test_the_list_of_what_the_image_holds_is_that_of_the_lock() -> None:
    command = ["make", "--silent", "--old-file=.venv/.installed", "sbom"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    listed: dict[str, Any] = json.loads((ROOT / "out" / "sbom.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    root = listed["metadata"]["component"]
    assert (root["name"], root["version"]) == (
        PROJECT["project"]["name"],
        PROJECT["project"]["version"],
    )
    found = {
        component["name"]: (
            component["version"],
            frozenset(
                sha256["content"]
                for reference in component["externalReferences"]
                for sha256 in reference.get("hashes", [])
            ),
        )
        for component in listed["components"]
    }
    assert found == {
        name: (package.version, package.sha256) for name, package in locked("runtime.lock").items()
    }


def test_the_image_says_what_it_is() -> None:
    labels = dict(
        re.findall(
            r'org\.opencontainers\.image\.(\w+)="([^"]*)"', " ".join(map(" ".join, last_stage()))
        )
    )
    project = PROJECT["project"]
    assert labels == {
        "title": project["name"],
        "version": project["version"],
        "licenses": project["license"],
    }


def test_the_image_runs_without_privileges() -> None:
    users = [words[1] for words in last_stage() if words[0] == "USER"]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])
    after = [words[0] for words in last_stage()]
    assert after.index("USER") > max(i for i, word in enumerate(after) if word in ("RUN", "COPY"))
    # What was copied stays root's, whom it does not run as.
    assert not [words for words in last_stage() if any(w.startswith("--ch") for w in words)]
    assert not [words for words in instructions() if words[0] in ("ADD", "ARG", "VOLUME")]


def test_the_image_exposes_the_ports_that_are_served() -> None:
    exposed = next(words[1:] for words in last_stage() if words[0] == "EXPOSE")
    assert exposed == (defaults()["APP_PORT"], defaults()["METRICS_PORT"])


def test_the_images_python_is_one_the_project_supports() -> None:
    froms = [words[1:] for words in instructions() if words[0] == "FROM"]
    # One line names it, so that one digest pins it.
    assert [words[0] for words in froms[1:]] == ["python", "python"] and froms[0][1:] == (
        "AS",
        "python",
    )
    image = re.fullmatch(r"python:3\.(\d+)-slim(@sha256:[0-9a-f]{64})?", froms[0][0])
    assert image
    assert int(image[1]) >= int(PROJECT["project"]["requires-python"].removeprefix(">=3."))

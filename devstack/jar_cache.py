"""The cache of the pinned jars: verified at each start, fetched when one is missing or different.

It lies outside the clone, in `$XDG_CACHE_HOME/energy-ingestion/maven` (`~/.cache` by default),
laid out as a Maven repository. They come from the repositories in jgo's settings (`jgo.conf`,
section `[repositories]`), then from jgo's default one, which an entry `central` replaces.
"""

import fcntl
import hashlib
import os
import pwd
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import certifi
import httpx
from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL

from devstack.errors import DevstackError
from devstack.jar_lock import Jar, read_lock
from devstack.messages import say
from devstack.progress import byte_progress

FETCH_TIMEOUT_S = 20.0
FETCHES_AT_ONCE = 4
ATTEMPTS_A_JAR = 3


def cache_directory() -> Path:
    """The directory of the jars; HOME need not be in the environment."""
    cache = os.environ.get("XDG_CACHE_HOME")
    home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    return (Path(cache) if cache else Path(home) / ".cache") / "energy-ingestion" / "maven"


def class_path() -> str:
    """Kafka's class path, with every jar verified against the lock.

    Raises DevstackError when a jar is neither in the cache nor in a repository.
    """
    return os.pathsep.join(map(str, cached("Kafka", read_lock())))


def cached(what: str, jars: list[Jar]) -> list[Path]:
    """The paths of these jars of `what`, each verified; fetches those that are missing.

    Raises DevstackError when a jar is neither in the cache nor in a repository.
    """
    directory = cache_directory()
    with exclusive(directory):
        missing = [jar for jar in jars if not is_intact(directory, jar)]
        if missing:
            fetch_all(what, directory, missing)
    return [directory / jar.path for jar in jars]


def is_intact(directory: Path, jar: Jar) -> bool:
    """Whether the cache holds exactly the pinned bytes."""
    try:
        with (directory / jar.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def fetch_all(what: str, directory: Path, jars: list[Jar]) -> None:
    """Download the jars, a few at once, and show the progress. Raises DevstackError."""
    total_bytes = sum(jar.size_bytes for jar in jars)
    say(f"fetching {len(jars)} jars of {what}, {total_bytes / 1e6:.1f} MB, into {directory}")
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    with (
        byte_progress(f"jars of {what}", total_bytes) as advance,
        httpx.Client(timeout=FETCH_TIMEOUT_S, verify=context, follow_redirects=True) as client,
        ThreadPoolExecutor(FETCHES_AT_ONCE) as pool,
    ):
        fetcher = Fetcher(client, _repositories(), directory, advance)
        fetches = [pool.submit(fetcher.fetch, jar) for jar in jars]
        try:
            for fetch in fetches:
                fetch.result()
        except BaseException:
            fetcher.abandoned.set()
            pool.shutdown(cancel_futures=True)
            raise


class Fetcher:
    """Takes each jar from the first repository that has the pinned bytes; it is thread-safe."""

    def __init__(
        self,
        client: httpx.Client,
        repositories: list[str],
        directory: Path,
        advance: Callable[[int], None],
    ) -> None:
        self._client = client
        self._repositories = repositories
        self._directory = directory
        self._advance = advance
        self.abandoned = threading.Event()

    def fetch(self, jar: Jar) -> None:
        """Download one jar into the cache. Raises DevstackError when no repository has it."""
        failure = ""
        for repository in self._repositories * ATTEMPTS_A_JAR:
            try:
                content = self._download(f"{repository.rstrip('/')}/{jar.path}")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failure = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            if hashlib.sha256(content).hexdigest() == jar.sha256:
                self._keep(jar, content)
                return
            self._advance(-len(content))
            failure = "the repository's file is not the pinned one"
        raise DevstackError(
            f"{jar.coordinate} is not in {self._directory} and could not be had ({failure}); "
            "connect this machine to its Maven repository once (jgo.conf may name another one), "
            "or copy that directory from a machine that has it"
        )

    def _download(self, url: str) -> bytes:
        """The bytes at `url`; a broken attempt is taken off the progress again."""
        chunks: list[bytes] = []
        try:
            with self._client.stream("GET", url) as response:
                response.raise_for_status()
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    self._advance(len(chunk))
                    if self.abandoned.is_set():
                        raise DevstackError("the download was abandoned")
        except httpx.HTTPError:
            self._advance(-sum(map(len, chunks)))
            raise
        return b"".join(chunks)

    def _keep(self, jar: Jar, content: bytes) -> None:
        target = self._directory / jar.path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".part")
        partial.write_bytes(content)
        partial.replace(target)


def _repositories() -> list[str]:
    """The URLs in jgo's settings; its default repository comes last unless they replace it."""
    configured = GlobalSettings.load().repositories
    return list({**configured, "central": configured.get("central", MAVEN_CENTRAL_URL)}.values())


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Let one process at a time change the cache."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise DevstackError(
            f"the cache {directory} can't be written ({error.strerror}); "
            "set XDG_CACHE_HOME to another place"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""An upgrade from the release before, a crash in the middle, the way back, and forward again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api_process import ApiProcess
from tests.chaos.releases import unpack_previous
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.conftest import empty_environment
from tests.rights import API, READER, WORKER, given_to_owner
from tests.workers import ROOT, command

ASK_EVERY_S = 0.2
ASKED = ("/health/ready", "/v1/telemetry/stats", "/v1/analytics/fleet", "/v1/sessions/active")
GRANT = ("sql", "grant", "--worker", WORKER, "--api", API, "--reader", READER)


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the release before."""
    return unpack_previous(tmp_path_factory.mktemp("previous"))


def test_a_clone_without_the_release_before_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="git fetch --unshallow --tags"):
        unpack_previous(tmp_path, commit="0" * 40)


def test_an_upgrade_is_rolled_is_killed_goes_back_and_forward(scene: Scene, previous: Path) -> None:
    def fresh(services: dict[str, str]) -> dict[str, str]:
        environment = given_to_owner(empty_environment(services))
        assert command(environment, "sql", "migrate", root=previous).returncode == 0
        assert command(environment, *GRANT, root=previous).returncode == 0
        return environment

    world = scene("upgrade from the release before, killed, back, forward", fresh=fresh)
    environment = world.environment
    world.start(2, previous)
    with ApiProcess(environment, root=previous) as old_api, asked(old_api):
        world.reads_on("the release before reads")
        session = open_session(old_api)
        migrate(world, ROOT)
        with ApiProcess(environment) as new_api, asked(new_api):
            for _ in range(3 if world.long else 1):
                roll(world, ROOT)
                world.replace(world.workers[0])
                world.reads_on("the killed one's successor reads on")
                migrate(world, previous)  # as its compose file does: it takes rights back
                roll(world, previous)
                assert old_api.http.post(f"/v1/sessions/{session}/end").status_code == 200
                session = open_session(old_api, again=True)
                migrate(world, ROOT)
            roll(world, ROOT)
            assert new_api.http.post(f"/v1/sessions/{session}/end").status_code == 200
            assert command(environment, "sql", "status").returncode == 0
            world.settle()


def migrate(world: World, root: Path) -> None:
    """Run that release's `migrate`, under load."""
    done = command(world.environment, "sql", "migrate", root=root)
    assert done.returncode == 0, done.stderr
    world.reads_on("workers read on beside the schema")


def roll(world: World, root: Path) -> None:
    """Replace the workers by those of that release, one at a time."""
    for worker in list(world.workers):
        world.terminate(worker)
        world.start(1, root)
        world.figures.restarts += 1
        world.reads_on("the next ones read on")


def open_session(api: ApiProcess, *, again: bool = False) -> str:
    """A charging session of devices that are registered first."""
    if not again:
        for kind, name in (("meters", "meterId"), ("vehicles", "vehicleId")):
            assert api.http.post(f"/v1/devices/{kind}", json={name: "S-1"}).status_code == 201
    began = api.http.post("/v1/sessions/start", json={"meterId": "S-1", "vehicleId": "S-1"})
    assert began.status_code == 201, began.text
    return str(began.json()["sessionId"])


@contextmanager
def asked(api: ApiProcess) -> Iterator[None]:
    """Ask it all the time; fails in the end if one answer was not 200."""
    ended, bad = threading.Event(), []

    def ask() -> None:
        while not ended.wait(ASK_EVERY_S):
            for path in ASKED:
                try:
                    answer = api.http.get(path)
                except httpx.HTTPError as error:
                    bad.append(f"{path}: {error!r}")
                else:
                    if answer.status_code != httpx.codes.OK:
                        bad.append(f"{path}: {answer.status_code} {answer.text}")

    thread = threading.Thread(target=ask, name="asking")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not bad, f"{len(bad)} answers were not 200, such as {bad[:3]}\n{api.log}"

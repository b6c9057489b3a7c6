"""The roles that tests run the software under: none of them owns the tables, none is a superuser.

An environment's DB_USERNAME is the workers' role; it names the administrator beside it, whom tests
use to look and to break things.
"""

from psycopg import sql
from psycopg.conninfo import make_conninfo

from devstack.citus import nodes_of
from devstack.citus_nodes import HERE_ALONE
from sql.connect import connect
from sql.distribute import distribute
from sql.grant import grant
from sql.migrate import migrate

PASSWORD = "of-a-test"
OWNER, WORKER, API, READER = "test_owner", "test_worker", "test_api", "test_reader"
GRANTED = {"worker": WORKER, "api": API, "reader": READER}
ADMIN = ("TEST_ADMIN_USERNAME", "TEST_ADMIN_PASSWORD")
ROLES_LOCK = 7_226_901
SHARDS = 4
"""On a cluster: so few that a test is quick, and two a worker."""


def administrator(environment: dict[str, str]) -> dict[str, str]:
    """The environment with the role that may do everything, and with no other."""
    name, password = (environment.get(variable) for variable in ADMIN)
    if not name or not password:
        return environment
    others = {key: value for key, value in environment.items() if key not in ADMIN}
    return {**others, "DB_USERNAME": name, "DB_PASSWORD": password}


def role(environment: dict[str, str], name: str) -> dict[str, str]:
    """The environment with this role, where its database has such roles."""
    if ADMIN[0] not in environment:
        return environment
    return {**environment, "DB_USERNAME": name, "DB_PASSWORD": PASSWORD}


def all_by_owner(environment: dict[str, str]) -> dict[str, str]:
    """The environment where the software and the test's own connections have the owner's role.

    For scenes in which an operator changes tables and grants nobody anything.
    """
    if ADMIN[0] not in environment:
        return environment
    return role(environment | dict(zip(ADMIN, (OWNER, PASSWORD), strict=True)), OWNER)


def migrated_by_owner(environment: dict[str, str]) -> dict[str, str]:
    """Give an empty database to its owner, who migrates it and grants the roles their rights.

    On a cluster it is spread over the nodes. Returns the environment with the workers' role.
    """
    environment = given_to_owner(environment)
    with connect(where(role(environment, OWNER))) as connection:
        migrate(connection)
        if nodes_of(environment):
            distribute(connection, SHARDS)
        grant(connection, GRANTED)
    return role(environment, WORKER)


def given_to_owner(environment: dict[str, str]) -> dict[str, str]:
    """The same without migrating: the roles are there, and the database is the owner's."""
    environment = _with_administrator(environment)
    servers = on_every_node(administrator(environment))
    for there in servers:
        _make_roles(there)
    for there in servers:
        with connect(where(there)) as connection:
            connection.execute(HERE_ALONE)
            words = (sql.Identifier(environment["DB_DATABASE"]), sql.Identifier(OWNER))
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(*words))
    if nodes := nodes_of(administrator(environment)):
        for name in (OWNER, WORKER, API, READER):
            nodes.introduce(environment["DB_DATABASE"], name, PASSWORD)
    return role(environment, WORKER)


def on_every_node(environment: dict[str, str]) -> list[dict[str, str]]:
    """The environment for each server that has a part of its database; as a rule there is one."""
    nodes = nodes_of(environment)
    named = [(node.host, node.port) for node in nodes.all] if nodes else []
    ways = [{"DB_HOST": host, "DB_PORT": str(port)} for host, port in named] or [{}]
    return [environment | way for way in ways]


def copied_by_owner(environment: dict[str, str]) -> dict[str, str]:
    """The same for the owner's copy of such a database: another one, with rights of its own."""
    environment = _with_administrator(environment)
    with connect(where(role(environment, OWNER))) as connection:
        connection.execute("UPDATE database_identity SET id = DEFAULT")
        grant(connection, GRANTED)
    return role(environment, WORKER)


def _with_administrator(environment: dict[str, str]) -> dict[str, str]:
    named = (environment.get("DB_USERNAME", "postgres"), environment.get("DB_PASSWORD", "postgres"))
    return environment | dict(zip(ADMIN, named, strict=True))


def where(environment: dict[str, str]) -> str:
    """The connection string of the environment's database, for the environment's role."""
    return make_conninfo(
        host=environment["DB_HOST"],
        port=environment["DB_PORT"],
        user=environment.get("DB_USERNAME", "postgres"),
        password=environment.get("DB_PASSWORD", "postgres"),
        dbname=environment["DB_DATABASE"],
    )


def _make_roles(environment: dict[str, str]) -> None:
    """Make the roles, which all databases of a server share, unless they are there.

    An advisory lock is known in one database alone: it is taken in the one that all tests know.
    """
    with connect(where(environment | {"DB_DATABASE": "postgres"}), autocommit=False) as connection:
        connection.execute(HERE_ALONE)
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ROLES_LOCK,))
        there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for name in {OWNER, WORKER, API, READER} - there:
            words = (sql.Identifier(name), sql.Literal(PASSWORD))
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(*words))

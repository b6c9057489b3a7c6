"""Keys as text, the command's options, and what a stored key makes of a secret."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.keys.options import add_keys
from api.keys.ring import StoredKey
from reporting.command import Parser
from schemas.keys import Access, Caller, Key, Refusal, Role, new_key, parse_key

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def parser() -> Parser:
    top = Parser(prog="python -m api")
    add_keys(top)
    return top


def test_a_key_is_read_as_it_was_written() -> None:
    key = new_key()
    assert parse_key(str(key)) == key
    assert str(key).count("_") == 2 and len(bytes.fromhex(key.secret)) == 32
    assert new_key(key.id).id == key.id and new_key(key.id).secret != key.secret
    assert key.secret not in repr(key)


@pytest.mark.parametrize("change", ["{} ", " {}", "{}0", "x{}", "{}\n", "EIE{}", "eie_{}"])
def test_what_is_nearly_a_key_is_none(change: str) -> None:
    assert parse_key(change.format(new_key())) is None
    assert parse_key("") is None and parse_key("eie__") is None


def test_a_secret_and_the_one_before_it() -> None:
    old, new, other = new_key(), new_key(), new_key()
    stored = StoredKey(Caller(), new.hash, None, None, old.hash, NOW)

    def refusal(key: Key, at: datetime = NOW, **changes: Any) -> Refusal | None:
        return stored._replace(**changes).refusal(key.hash, at)

    assert refusal(new) is None and refusal(other) is Refusal.UNKNOWN
    assert refusal(old, NOW - SECOND) is None and refusal(old) is Refusal.ROTATED
    for key in (new, old):
        before = NOW - SECOND
        assert refusal(key, before, expires_at=NOW) is None
        assert refusal(key, before, expires_at=before) is Refusal.EXPIRED
        assert refusal(key, before, revoked_at=before) is Refusal.REVOKED
        assert refusal(other, before, revoked_at=before) is Refusal.UNKNOWN
    never = stored._replace(previous_hash=None, previous_expires_at=None)
    assert never.refusal(b"", NOW) is Refusal.UNKNOWN


def test_what_each_role_may() -> None:
    may = {
        role: {access.name for access in Access if Caller(role=role).may(access)} for role in Role
    }
    everybody = {"OPEN", "SIGNED_IN"}
    assert may == {
        Role.GATEWAY: everybody | {"SEND"},
        Role.ANALYST: everybody | {"READ"},
        Role.OPERATOR: everybody | {"READ", "OPERATE", "METRICS"},
        Role.METRICS: everybody | {"METRICS"},
    }
    assert all(Caller().may(access) for access in Access)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("create --name N", "required: --role"),
        ("create --name N --role king", "invalid choice: 'king'"),
        ("create --role analyst --name a\x00", "the name has a control character"),
        ("create --role analyst --name=", "the name must have 1 to 64 characters"),
        ("create --name N --role gateway --devices M,", "each prefix must have 1 to 64"),
        (f"create --name N --role gateway --devices {'M' * 65}", "each prefix must have 1 to 64"),
        ("create --name N --role gateway --expires soon", "'soon' is not a time such as"),
        ("create --name N --role gateway --expires 2020-01-01", "does not lie ahead"),
        ("create --name N --role gateway --expires 0d", "does not lie ahead"),
        ("create --name N --role gateway --expires 99999d", "is not a time such as"),
        ("create --name N --role gateway --json --file F", "not allowed with argument --json"),
        ("rotate aaaaaaaaaaaa --grace -1", "'-1' is not a time such as 0, 30m"),
        ("rotate aaaaaaaaaaaa --grace 1w", "'1w' is not a time such as 0, 30m"),
        ("revoke nobody", "a key's id has 12 characters"),
        ("frob", "invalid choice: 'frob'"),
    ],
)
def test_bad_input_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["keys", *words.split(" ")])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and said in last


def test_a_whole_key_in_place_of_an_id_is_in_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    key = new_key()
    with pytest.raises(SystemExit):
        parser().parse_args(["keys", "revoke", str(key)])
    assert key.secret not in capsys.readouterr().err


def test_spans_and_times_that_lie_ahead() -> None:
    words = ["keys", "create", "--name", "N", "--role", "gateway", "--expires"]
    soon = parser().parse_args([*words, "30d"]).expires - datetime.now(UTC)
    assert timedelta(days=29) < soon <= timedelta(days=30)
    day = parser().parse_args([*words, "2999-01-31"]).expires
    assert day == datetime(2999, 1, 31, tzinfo=UTC)
    grace = parser().parse_args(["keys", "rotate", "a" * 12]).grace
    assert grace == timedelta(hours=1)

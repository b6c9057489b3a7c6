"""The environment is checked as a whole: secrets from files, and what may go over a network."""

import math
import os
import ssl
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from reporting.applications import Application
from schemas.pem_files import client_certificates
from schemas.settings import Settings, SettingsError, is_loopback, load_settings, secrets_of
from sql.connect import conninfo
from sql.tls_files import check_files
from tests.authority import Authority
from tests.workers import command

SECRET = "hunter2-hunter2"
SASL = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "gateway"}
TLS = {"DB_SSLMODE": "verify-full"}


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def loaded(environment: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        environment.setenv(name, value)
    return load_settings()


def refusal(environment: pytest.MonkeyPatch, **variables: str) -> str:
    """The text with which these are refused, and all that a traceback would show of it."""
    with pytest.raises(SettingsError) as refused:
        loaded(environment, **variables)
    shown = "".join(traceback.format_exception(refused.value))
    assert SECRET not in shown and SECRET not in repr(refused.value)
    return str(refused.value)


# Secrets


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"hunter2", "hunter2"),
        (b"hunter2\n", "hunter2"),
        (b"hunter2\r\n", "hunter2"),
        (b" hunter2 \n", " hunter2 "),
        (b"\xef\xbb\xbfhunter2\n", "hunter2"),
        ("gehe\u00efm\n".encode(), "gehe\u00efm"),
    ],
)
def test_a_secret_is_its_file_without_the_end_of_the_line(
    environment: pytest.MonkeyPatch, tmp_path: Path, content: bytes, secret: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    settings = loaded(environment, DB_PASSWORD_FILE=str(file), DB_PASSWORD="")
    assert settings.db_password.get_secret_value() == secret


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"\r\n", "the file is empty"),
        (SECRET.encode() + b"\xff", "not UTF-8"),
        (SECRET.encode() + b"\nmore\n", "a secret is one line"),
        (SECRET.encode() + b"\n\n", "a secret is one line"),
        (SECRET.encode() + b"\x00", "a secret is one line"),
        (SECRET.encode() * 10_000, "a secret is one line"),
        (None, "No such file or directory"),
        ("directory", "Is a directory"),
    ],
)
@pytest.mark.parametrize("name", ["DB_PASSWORD", "KAFKA_SASL_PASSWORD", "METRICS_TOKEN"])
def test_a_file_that_holds_no_secret(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    content: bytes | str | None,
    why: str,
) -> None:
    file = tmp_path / "secret"
    if content == "directory":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    text = refusal(environment, **{f"{name}_FILE": str(file)})
    assert text.startswith(f"{name}_FILE={file}: {why}")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    nobody = 65534
    root = os.geteuid() == 0
    if root:
        os.seteuid(nobody)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_may_not_be_read(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0)
    with as_nobody():
        text = refusal(environment, DB_PASSWORD_FILE=str(file))
    assert text == f"DB_PASSWORD_FILE={file}: Permission denied"


def test_a_secret_and_its_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    text = refusal(environment, DB_PASSWORD=SECRET, DB_PASSWORD_FILE=str(file))
    assert text == "DB_PASSWORD and DB_PASSWORD_FILE: set only one of them"


def test_no_secret_is_ever_shown(environment: pytest.MonkeyPatch) -> None:
    secrets = {name.upper(): f"{SECRET}-{name}" for name in secrets_of(Settings)}
    secrets["METRICS_TOKEN"] = SECRET
    secrets["ALERT_WEBHOOKS"] = f"https://alerts.example/{SECRET}"
    assert set(secrets) == {
        "ALERT_WEBHOOKS",
        "DB_PASSWORD",
        "KAFKA_SASL_PASSWORD",
        "METRICS_TOKEN",
    }
    settings = loaded(environment, **secrets, **SASL)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), f"{settings!r:s}"):
        assert SECRET not in shown
    assert SECRET in conninfo(settings, Application.WORKER)  # it is there, and used
    assert "APP_PORT=" in refusal(environment, APP_PORT="0")
    assert "go together" in refusal(environment, APP_PORT="1", DB_SSLCERT="a.pem")


@pytest.mark.parametrize("token", [f"{SECRET} ", f"{SECRET}\u20ac", f"a={SECRET}", "\x7f"])
def test_a_token_that_no_header_can_carry(environment: pytest.MonkeyPatch, token: str) -> None:
    assert refusal(environment, METRICS_TOKEN=token).startswith("METRICS_TOKEN: a token is of")


# What may go over a network


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("/var/run/postgresql", True),
        ("@socket", True),
        ("", False),
        ("db", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.5", False),
        ("::ffff:10.0.0.5", False),
        ("fe80::1%eth0", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


@pytest.mark.parametrize("hosts", ["db", "localhost,db", "10.0.0.5", "127.0.0.1,", "::1,10.0.0.5"])
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_a_password_goes_to_another_machine_by_tls_alone(
    environment: pytest.MonkeyPatch, hosts: str, mode: str
) -> None:
    text = refusal(environment, DB_HOST=hosts, DB_SSLMODE=mode)
    assert text.startswith(f"DB_HOST={hosts} is another machine: set DB_SSLMODE=verify-full")
    assert "DB_ALLOW_PLAINTEXT=true" in text
    for encrypted in ("require", "verify-ca", "verify-full"):
        assert loaded(environment, DB_SSLMODE=encrypted).db_host == hosts
    assert loaded(environment, DB_SSLMODE=mode, DB_ALLOW_PLAINTEXT="true").db_host == hosts


@pytest.mark.parametrize("hosts", ["localhost", "/run/postgresql,127.0.0.1", "::1,LOCALHOST"])
def test_this_machine_needs_no_tls(environment: pytest.MonkeyPatch, hosts: str) -> None:
    assert loaded(environment, DB_HOST=hosts, DB_SSLMODE="disable").db_host == hosts


def test_a_sasl_password_goes_by_tls_alone(environment: pytest.MonkeyPatch) -> None:
    plain = SASL | {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_PASSWORD": SECRET}
    assert "KAFKA_ALLOW_PLAINTEXT=true" in refusal(environment, **plain)
    assert loaded(environment, KAFKA_ALLOW_PLAINTEXT="true").kafka_allow_plaintext


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"APP_TLS_CERTFILE": "a"}, "APP_TLS_CERTFILE and APP_TLS_KEYFILE go together"),
        ({"DB_SSLKEY": "a"}, "DB_SSLCERT and DB_SSLKEY go together"),
        ({"DB_SSLROOTCERT": "system"}, "DB_SSLROOTCERT=system needs DB_SSLMODE=verify-full"),
        ({"DB_SSLROOTCERT": "system", "DB_SSLMODE": "require"}, "needs DB_SSLMODE=verify-full"),
        ({"DB_REQUIRE_AUTH": "scram"}, "DB_REQUIRE_AUTH='scram': may be scram-sha-256, md5"),
        ({"DB_REQUIRE_AUTH": ""}, "DB_REQUIRE_AUTH='': may be scram-sha-256, md5"),
        ({"DB_REQUIRE_AUTH": "!md5,none"}, "either all have an ! or none"),
        ({"DB_SSLMODE": "full"}, "DB_SSLMODE='full'"),
    ],
)
def test_what_does_not_go_together(
    environment: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    assert words in refusal(environment, **variables)


@pytest.mark.parametrize("methods", ["none", "scram-sha-256,md5", "!password,!md5"])
def test_libpq_knows_the_methods(environment: pytest.MonkeyPatch, methods: str) -> None:
    where = conninfo(loaded(environment, DB_REQUIRE_AUTH=methods, DB_PORT="1"), Application.WORKER)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(where)


def test_empty_variables_are_not_set(environment: pytest.MonkeyPatch) -> None:
    """As compose passes those on that nobody has set."""
    names = ("APP_TLS_CERTFILE", "APP_TLS_KEYFILE", "DB_SSLROOTCERT", "DB_SSLCERT", "DB_SSLKEY")
    settings = loaded(environment, **dict.fromkeys(names, ""), METRICS_TOKEN="")
    assert not settings.metrics_token
    assert "sslrootcert=''" in conninfo(settings, Application.WORKER)


# Every process


@pytest.mark.parametrize(
    "words", [["ingest_worker"], ["api"], ["sql", "migrate"], ["devstack", "fleet"]]
)
def test_every_process_ends_before_it_begins(words: list[str]) -> None:
    done = command({"DB_HOST": "db.example", "DB_SSLMODE": "prefer"}, *words)
    assert done.returncode == 2, done.stderr
    said = done.stderr.removeprefix("devstack: ")
    assert said.startswith("error: DB_HOST=db.example is another machine"), done.stderr


@pytest.mark.parametrize("words", [["ingest_worker"], ["api"], ["sql", "migrate"]])
def test_files_for_tls_are_tried_first(tmp_path: Path, words: list[str]) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue(common_name="worker")
    verified = {"DB_SSLMODE": "verify-full", "HOME": str(tmp_path), "DB_SSLROOTCERT": ""}
    ours = {"DB_SSLMODE": "require", "DB_SSLCERT": certificate, "DB_SSLKEY": key}
    Path(key).chmod(0o644)
    for variables, why in (
        (verified, "DB_SSLMODE=verify-full needs DB_SSLROOTCERT: the file of the authority"),
        (verified | {"DB_SSLROOTCERT": "/nowhere"}, "DB_SSLROOTCERT=/nowhere: No such file"),
        (verified | {"DB_SSLROOTCERT": key}, f"DB_SSLROOTCERT={key}: there is no certificate in"),
        (ours, f"DB_SSLKEY={key}: others may use it, which libpq refuses: chmod 600"),
        (ours | {"DB_SSLKEY": "/nowhere"}, "DB_SSLKEY=/nowhere: No such file or directory"),
    ):
        done = command(variables, *words)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"error: {why}"), done.stderr
        assert done.stderr.count("\n") == 1


def test_libpq_is_shown_the_authorities_of_the_system(environment: pytest.MonkeyPatch) -> None:
    """Its own OpenSSL looks for them where there are none."""
    paths = ssl.get_default_verify_paths()
    for name in (paths.openssl_cafile_env, paths.openssl_capath_env):
        environment.setenv(name, "")
        environment.delenv(name)
    check_files(loaded(environment, DB_SSLROOTCERT="system", **TLS))
    found = ssl.get_default_verify_paths()
    shown = {os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")}
    assert shown == {found.cafile, found.capath} and shown != {None}


def test_when_the_certificates_end_that_we_show(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    ours = authority.issue(common_name="worker", days=10)
    ended = authority.issue(common_name="role", days=-2)
    for setting, file in (("KAFKA_SSL_CERTFILE", ours[0]), ("KAFKA_SSL_KEYFILE", ours[1])):
        monkeypatch.setenv(setting, file)
    for setting, file in (("DB_SSLCERT", ended[0]), ("DB_SSLKEY", ended[1])):
        monkeypatch.setenv(setting, file)
    days = {
        setting: (end() - time.time()) / 86_400
        for setting, end in client_certificates(load_settings()).items()
    }
    assert days == {
        "KAFKA_SSL_CERTFILE": pytest.approx(10, abs=0.1),
        "DB_SSLCERT": pytest.approx(-2, abs=0.1),
    }
    Path(ours[1]).unlink()
    assert math.isnan(client_certificates(load_settings())["KAFKA_SSL_CERTFILE"]())


def test_without_certificates_none_ends() -> None:
    assert client_certificates(load_settings()) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://hidden@host/", "number 1 does not begin with https://"),
        ("https://a/, http://[hidden", "number 2 is not a URL"),
        ("https://a/#hidden", "after # stands whsec_ and base64"),
        ("https://a/#whsec_aGlkZGVu", "a secret has at least 24 bytes"),
        ("alertmanager+https://a/#whsec_aGlkZGVu", "looks at no signature"),
        ("https://a/?x=hidden,https://a/?x=hidden", "one address stands there twice"),
        ("http://alerts.example/hidden", "without TLS: use https, or set ALERT_ALLOW_PLAINTEXT"),
    ],
)
def test_whom_alerts_cannot_be_told_to(
    monkeypatch: pytest.MonkeyPatch, text: str, why: str
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOKS", text)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert why in str(raised.value)
    assert "ALERT_WEBHOOKS" in str(raised.value)
    assert "hidden" not in str(raised.value) and "aGlkZGVu" not in str(raised.value)

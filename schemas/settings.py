"""The environment every process reads, checked once at start.

Each field is one variable of the README's table. A value that cannot be right stops the process
with the variable's name and what is allowed, before it touches Kafka or PostgreSQL.
"""

import os
import re
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.alert_targets import AlertTarget, parse_targets
from schemas.session_events import EventDecoder
from schemas.streams import STREAMS
from schemas.streams.decoder import Decoder
from schemas.streams.record_decoder import RecordDecoder
from schemas.streams.stream import Stream
from schemas.streams.times import ClockLimits, clock_limits

MAX_PORT = 65_535
Port = Annotated[int, Field(ge=1, le=MAX_PORT)]
KAFKA_NAME = r"^[a-zA-Z0-9._-]{1,249}$"
HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a header can carry as a bearer token: RFC 6750, 2.1."""
AUTH_METHODS = ("scram-sha-256", "md5", "password", "none")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_MAX_SECRET_BYTES = 64 * 1024


class SettingsError(Exception):
    """An environment variable holds a value that cannot be used; the text names it."""


def _check_servers(text: str) -> str:
    for server in text.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= MAX_PORT:
            raise ValueError(f"{server!r} is not host:port; name one or several, comma separated")
    return text


def _check_token(token: SecretStr | None) -> SecretStr | None:
    if token and not TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("a token is of letters, digits and -._~+/, with = at its end")
    return token


def _check_targets(text: SecretStr | None) -> SecretStr | None:
    parse_targets(text.get_secret_value() if text else "")
    return text


def _check_methods(text: str) -> str:
    methods = text.split(",")
    negated = [method for method in methods if method.startswith("!")]
    if not {method.removeprefix("!") for method in methods} <= set(AUTH_METHODS):
        raise ValueError(f"may be {', '.join(AUTH_METHODS)}; several, comma separated; ! = not")
    if negated and negated != methods:
        raise ValueError("either all have an ! or none")
    return text


def _check_host_names(text: str) -> str:
    for name in filter(None, map(str.strip, text.lower().split(","))):
        host, port = split_host(name)
        if not HOST_NAME.fullmatch(host) or (port and not 1 <= int(port) <= MAX_PORT):
            raise ValueError(
                f"{name!r} is not a name such as fleet.example, *.fleet.example or 10.0.0.5:3000"
            )
    return text


def _check_networks(text: str) -> str:
    for network in filter(None, map(str.strip, text.split(","))):
        ip_network(network)  # the text of its ValueError says what is wrong
    return text


def split_host(authority: str) -> tuple[str, str]:
    """A name, or an address in brackets where it has colons, and its port, which may be empty."""
    host, colon, port = authority.rpartition(":")
    if colon and port.isascii() and port.isdecimal():
        return host, port
    return authority, ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host of this name: a loopback address, or a socket."""
    if host.lower().removesuffix(".") == "localhost" or host.startswith(("/", "@")):
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


def _lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class EnergyReading(StrEnum):
    """What a reading's kWh field means: energy since the previous reading, or a running total."""

    INTERVAL = "interval"
    REGISTER = "register"


class Settings(BaseSettings):
    """All settings, by the lower-case name of their environment variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    app_host: str = Field("127.0.0.1", min_length=1)
    """Address that the HTTP API listens on; 0.0.0.0 = every address of this machine."""
    app_port: Port = 3000
    """TCP port of the HTTP API."""
    app_auth: Literal["auto", "keys", "off"] = "auto"
    """Whether the API demands keys: auto = unless APP_HOST is a loopback address, keys, off."""
    app_allowed_hosts: Annotated[str, AfterValidator(_check_host_names)] = ""
    """Names the API answers to, comma separated; default: loopback names and APP_HOST."""
    app_trusted_proxies: Annotated[str, AfterValidator(_check_networks)] = ""
    """Proxies whose X-Forwarded-For and -Proto count: addresses or networks, comma separated."""
    app_tls_certfile: str | None = None
    """PEM file of the API's certificate and its chain; with it the API speaks HTTPS."""
    app_tls_keyfile: str | None = None
    """PEM file of the certificate's key."""
    db_host: str = Field("localhost", min_length=1)
    """PostgreSQL host."""
    db_port: Port = 5432
    """PostgreSQL port."""
    db_username: str = Field("postgres", min_length=1)
    """PostgreSQL role."""
    db_password: SecretStr = SecretStr("postgres")
    """PostgreSQL password."""
    db_database: str = Field("energy_ingestion", min_length=1)
    """PostgreSQL database."""
    db_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = (
        "prefer"
    )
    """libpq's sslmode; beyond this machine at least require, unless DB_ALLOW_PLAINTEXT."""
    db_sslrootcert: str | None = None
    """PEM file of the authority that signed PostgreSQL's certificate, or `system`."""
    db_sslcert: str | None = None
    """PEM file of our certificate for PostgreSQL."""
    db_sslkey: str | None = None
    """PEM file of that certificate's key."""
    db_require_auth: Annotated[str, AfterValidator(_check_methods)] = "scram-sha-256"
    """How PostgreSQL must ask who we are (libpq's require_auth); `none`: by certificate alone."""
    db_allow_plaintext: bool = False
    """Whether to talk to a PostgreSQL on another machine without TLS."""
    db_pool_size: int = Field(20, ge=1, le=1000)
    """Connections an API process pools; health, keys, alerts and so on open seven more."""
    batch_size: int = Field(100_000, ge=1, le=1_000_000)
    """Most readings in one flush; a record is never split, a larger one goes alone."""
    flush_interval_ms: int = Field(1000, ge=1, le=60_000)
    """Longest a reading waits before its flush starts, in milliseconds."""
    kafka_bootstrap_servers: Annotated[str, AfterValidator(_check_servers)] = "localhost:9092"
    """Kafka brokers, host:port, comma separated."""
    kafka_group_id: str = Field("energy-ingest", pattern=KAFKA_NAME)
    """Consumer group of the workers; the positions in PostgreSQL are kept under this name."""
    kafka_session_topic: str = Field("", pattern=f"{KAFKA_NAME}|^$")
    """Topic of session events, which chargers start and end sessions by; empty = none."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """SASL mechanism, with a SASL_* protocol."""
    kafka_sasl_username: str | None = None
    """SASL user, required with a SASL_* protocol."""
    kafka_sasl_password: SecretStr | None = None
    """SASL password, required with a SASL_* protocol."""
    kafka_ssl_cafile: str | None = None
    """PEM file of the authority that signed the brokers' certificates; default: the system's."""
    kafka_ssl_certfile: str | None = None
    """PEM file of our certificate for the brokers."""
    kafka_ssl_keyfile: str | None = None
    """PEM file of that certificate's key."""
    kafka_allow_plaintext: bool = False
    """Whether to send a SASL password to the brokers without TLS."""
    max_record_bytes: int = Field(16 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """Largest Kafka record, unpacked; a larger one is rejected as malformed."""
    metrics_host: str = Field("127.0.0.1", min_length=1)
    """Address that a worker's /metrics and /health listen on."""
    metrics_port: int = Field(9400, ge=0, le=MAX_PORT)
    """A worker's port for /metrics and /health; when taken, the next free one; 0 = any."""
    metrics_token: Annotated[SecretStr | None, AfterValidator(_check_token)] = None
    """Bearer token that a worker's /metrics demands; default: none."""
    energy_reading: EnergyReading = EnergyReading.INTERVAL
    """Meaning of kWh for devices that don't say it themselves."""
    report_seconds: Annotated[
        int | None, Field(ge=1, le=86_400), BeforeValidator(_empty_is_none)
    ] = None
    """How often devices report that don't say it themselves; empty = unknown."""
    max_plausible_kw: float = Field(10_000, gt=0, le=1e12, allow_inf_nan=False)
    """What no device can carry: energy beyond it is credited with 0."""
    max_reading_age_days: int = Field(730, ge=1, le=36_500)
    """Older readings are rejected as too_old."""
    max_clock_skew_seconds: int = Field(300, ge=0, le=86_400)
    """Readings further ahead of the worker's clock are rejected as in_future."""
    retention_days: int = Field(0, ge=0, le=36_500)
    """Days of history to keep; 0 = keep all."""
    backup_max_age_hours: int = Field(24, ge=1, le=87_600)
    """Oldest backup that is restored from; a topic that Kafka keeps shorter is degraded."""
    rejected_raw_limit_mb: int = Field(1024, ge=0, le=1_000_000)
    """From this size of rejected_records no raw bytes are kept, from twice it no rows; 0 = any."""
    rejected_raw_bytes: int = Field(1024 * 1024, ge=0, le=64 * 1024 * 1024)
    """Most bytes kept of one rejected reading; its true size is noted."""
    salvage_readings: bool = False
    """Whether Kafka readings are stored without their soc, batteryTemp or voltage if it is bad."""
    session_idle_timeout_minutes: int = Field(0, ge=0, le=525_600)
    """Close a session once neither side was heard of for so long; 0 = never."""
    alert_webhooks: Annotated[SecretStr | None, AfterValidator(_check_targets)] = None
    """Whom alerts are told to: URLs, comma separated, each with #whsec_... to sign with."""
    alert_topic: str = Field("", pattern=f"{KAFKA_NAME}|^$")
    """Kafka topic that alerts are told to; empty = none."""
    alert_allow_plaintext: bool = False
    """Whether to tell alerts to another machine by http, without TLS."""
    log_format: Literal["text", "json"] = "text"
    """Form of log lines on stderr."""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(_lower_case)
    ] = "info"
    """Least severe log lines that are written: debug, info, warning or error."""

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        if len(self.streams) < len(STREAMS):
            names = [_topic_field(stream).upper() for stream in STREAMS.values()]
            raise ValueError(f"{' and '.join(names)} must differ")
        if self.kafka_session_topic in self.streams:
            raise ValueError(f"KAFKA_SESSION_TOPIC={self.kafka_session_topic} carries readings")
        if self.alert_topic in self.topics:
            raise ValueError(f"ALERT_TOPIC={self.alert_topic} is a topic that workers read")
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are required with "
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}"
            )
        _check_pairs(self)
        _check_plaintext(self)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values come from the environment, secrets also from the files that it names."""
        return init_settings, SecretFiles(settings_cls), env_settings

    @property
    def streams(self) -> dict[str, Stream]:
        """The stream that each topic carries."""
        return {self.topic(stream): stream for stream in STREAMS.values()}

    @property
    def topics(self) -> list[str]:
        """Every topic that workers read: those of the streams, and that of session events."""
        return [*self.streams, *filter(None, [self.kafka_session_topic])]

    @property
    def alert_targets(self) -> list[AlertTarget]:
        """Whom alerts are told to over HTTP."""
        return parse_targets(self.alert_webhooks.get_secret_value() if self.alert_webhooks else "")

    def topic(self, stream: Stream) -> str:
        """The topic of a stream: KAFKA_<STREAM>_TOPIC."""
        topic: str = getattr(self, _topic_field(stream))
        return topic

    def clock_limits(self, now: datetime) -> ClockLimits:
        """The times a reading may carry at `now`."""
        return clock_limits(
            now,
            max_age_days=self.max_reading_age_days,
            retention_days=self.retention_days,
            max_skew_seconds=self.max_clock_skew_seconds,
        )

    def decoders(self, drop: Iterable[str] = ()) -> dict[str, RecordDecoder]:
        """A decoder for each topic, of what comes from Kafka.

        `drop`: fields that readings are taken without in any case, when they are wrong.
        """
        decoders: dict[str, RecordDecoder] = {
            topic: Decoder(stream, salvage=stream.expendable if self.salvage_readings else {*drop})
            for topic, stream in self.streams.items()
        }
        if self.kafka_session_topic:
            decoders[self.kafka_session_topic] = EventDecoder()
        return decoders


def _check_pairs(settings: Settings) -> None:
    """A certificate is of no use without its key, nor a key without its certificate."""
    for one, other in (
        ("app_tls_certfile", "app_tls_keyfile"),
        ("db_sslcert", "db_sslkey"),
        ("kafka_ssl_certfile", "kafka_ssl_keyfile"),
    ):
        if bool(getattr(settings, one)) != bool(getattr(settings, other)):
            raise ValueError(f"{one.upper()} and {other.upper()} go together")


def _check_plaintext(settings: Settings) -> None:
    """What others on the network could read or change has to be asked for by name."""
    encrypted = settings.db_sslmode in ("require", "verify-ca", "verify-full")
    elsewhere = [host for host in settings.db_host.split(",") if not is_loopback(host)]
    if elsewhere and not (encrypted or settings.db_allow_plaintext):
        raise ValueError(
            f"DB_HOST={settings.db_host} is another machine: set DB_SSLMODE=verify-full (or"
            f" require), or DB_ALLOW_PLAINTEXT=true where the network between is trusted"
        )
    for target in settings.alert_targets:
        if not (target.is_encrypted or settings.alert_allow_plaintext or is_loopback(target.host)):
            raise ValueError(
                f"ALERT_WEBHOOKS: {target.name} is another machine without TLS: use https, or set"
                " ALERT_ALLOW_PLAINTEXT=true where the network between is trusted"
            )
    if settings.db_sslrootcert == "system" and settings.db_sslmode != "verify-full":
        raise ValueError("DB_SSLROOTCERT=system needs DB_SSLMODE=verify-full: it trusts many")
    if settings.kafka_security_protocol == "SASL_PLAINTEXT" and not settings.kafka_allow_plaintext:
        raise ValueError(
            "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT shows the password to the network: set"
            " SASL_SSL, or KAFKA_ALLOW_PLAINTEXT=true where the network is trusted"
        )


def secrets_of(settings_class: type[BaseSettings]) -> list[str]:
    """The fields that hold secrets: each may come from a file, and none is ever shown."""
    return [
        name
        for name, field in settings_class.model_fields.items()
        if SecretStr in (field.annotation, *get_args(field.annotation))
    ]


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from files: NAME_FILE names the file that NAME is read from."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The content of a secret's file without the line's end; None when no file is named.

        Raises SettingsError.
        """
        name = field_name.upper()
        file = os.environ.get(f"{name}_FILE")
        if not file:
            return None, field_name, False
        if os.environ.get(name):
            raise SettingsError(f"{name} and {name}_FILE: set only one of them")
        try:
            with Path(file).open("rb") as opened:
                raw = opened.read(_MAX_SECRET_BYTES + 1)
            content = raw.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise SettingsError(f"{name}_FILE={file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"{name}_FILE={file}: not UTF-8") from None
        if not content:
            raise SettingsError(f"{name}_FILE={file}: the file is empty")
        if len(raw) > _MAX_SECRET_BYTES or not content.isprintable():
            raise SettingsError(
                f"{name}_FILE={file}: a secret is one line, without control characters"
            )
        return content, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The secrets whose files are named. Raises SettingsError."""
        fields = self.settings_cls.model_fields
        found = {
            name: self.get_field_value(fields[name], name)[0]
            for name in secrets_of(self.settings_cls)
        }
        return {name: value for name, value in found.items() if value is not None}


def _topic_field(stream: Stream) -> str:
    return f"kafka_{stream.name}_topic"


def _topic_settings() -> dict[str, Any]:
    """A setting for each stream's topic."""
    return {
        _topic_field(stream): (
            str,
            Field(
                f"{stream.name}-telemetry",
                pattern=KAFKA_NAME,
                description=f"Topic of {stream.name} readings.",
            ),
        )
        for stream in STREAMS.values()
    }


if not TYPE_CHECKING:  # type checkers see the class above, whose `topic` reads what is added here
    Settings = create_model(
        "Settings",
        __base__=Settings,
        __cls_kwargs__={"use_attribute_docstrings": False},  # it has none, and a look takes 20 ms
        **_topic_settings(),
    )


def load_settings() -> Settings:
    """Read the environment. Raises SettingsError, one line a bad variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(dict(e)) for e in error.errors())) from None


def _explain(error: dict[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    field = str(error["loc"][0])
    if field in secrets_of(Settings):
        return f"{field.upper()}: {message}"
    return f"{field.upper()}={error['input']!r}: {message}"

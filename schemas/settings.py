"""The environment every process reads, checked once at start.

Each field is one variable of the README's table. A value that cannot be right stops the process
with the variable's name and what is allowed, before it touches Kafka or PostgreSQL.
"""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.streams import STREAMS
from schemas.streams.decoder import Decoder
from schemas.streams.stream import Stream
from schemas.streams.times import ClockLimits, clock_limits

MAX_PORT = 65_535
Port = Annotated[int, Field(ge=1, le=MAX_PORT)]
KAFKA_NAME = r"^[a-zA-Z0-9._-]{1,249}$"


class SettingsError(Exception):
    """An environment variable holds a value that cannot be used; the text names it."""


def _check_servers(text: str) -> str:
    for server in text.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= MAX_PORT:
            raise ValueError(f"{server!r} is not host:port; name one or several, comma separated")
    return text


def _lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class EnergyReading(StrEnum):
    """What a reading's kWh field means: energy since the previous reading, or a running total."""

    INTERVAL = "interval"
    REGISTER = "register"


class Settings(BaseSettings):
    """All settings, by the lower-case name of their environment variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    app_port: Port = 3000
    """TCP port of the HTTP API."""
    db_host: str = Field("localhost", min_length=1)
    """PostgreSQL host."""
    db_port: Port = 5432
    """PostgreSQL port."""
    db_username: str = Field("postgres", min_length=1)
    """PostgreSQL role."""
    db_password: str = "postgres"  # noqa: S105
    """PostgreSQL password."""
    db_database: str = Field("energy_ingestion", min_length=1)
    """PostgreSQL database."""
    db_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = (
        "prefer"
    )
    """libpq's sslmode."""
    db_pool_size: int = Field(20, ge=1, le=1000)
    """Connections an API process pools; health, metrics and replays open at most four more."""
    batch_size: int = Field(100_000, ge=1, le=1_000_000)
    """Most readings in one flush; a record is never split, a larger one goes alone."""
    flush_interval_ms: int = Field(1000, ge=1, le=60_000)
    """Longest a reading waits before its flush starts, in milliseconds."""
    kafka_bootstrap_servers: Annotated[str, AfterValidator(_check_servers)] = "localhost:9092"
    """Kafka brokers, host:port, comma separated."""
    kafka_group_id: str = Field("energy-ingest", pattern=KAFKA_NAME)
    """Consumer group of the workers; the positions in PostgreSQL are kept under this name."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """SASL mechanism, with a SASL_* protocol."""
    kafka_sasl_username: str | None = None
    """SASL user, required with a SASL_* protocol."""
    kafka_sasl_password: str | None = None
    """SASL password, required with a SASL_* protocol."""
    kafka_ssl_cafile: str | None = None
    """PEM file of the authority that signed the brokers' certificates; default: the system's."""
    max_record_bytes: int = Field(16 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """Largest Kafka record, unpacked; a larger one is rejected as malformed."""
    metrics_port: int = Field(9400, ge=0, le=MAX_PORT)
    """A worker's port for /metrics and /health; when taken, the next free one; 0 = any."""
    energy_reading: EnergyReading = EnergyReading.INTERVAL
    """Meaning of kWh for devices that don't say it themselves."""
    max_reading_age_days: int = Field(730, ge=1, le=36_500)
    """Older readings are rejected as too_old."""
    max_clock_skew_seconds: int = Field(300, ge=0, le=86_400)
    """Readings further ahead of the worker's clock are rejected as in_future."""
    retention_days: int = Field(0, ge=0, le=36_500)
    """Days of history to keep; 0 = keep all."""
    rejected_raw_limit_mb: int = Field(1024, ge=0, le=1_000_000)
    """From this size of rejected_records no raw bytes are kept, from twice it no rows; 0 = any."""
    rejected_raw_bytes: int = Field(1024 * 1024, ge=0, le=64 * 1024 * 1024)
    """Most bytes kept of one rejected reading; its true size is noted."""
    session_idle_timeout_minutes: int = Field(0, ge=0, le=525_600)
    """Close a session once neither side was heard of for so long; 0 = never."""
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
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are required with "
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}"
            )
        return self

    @property
    def streams(self) -> dict[str, Stream]:
        """The stream that each topic carries."""
        return {self.topic(stream): stream for stream in STREAMS.values()}

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

    def decoders(self) -> dict[str, Decoder]:
        """A decoder for each topic."""
        return {topic: Decoder(stream) for topic, stream in self.streams.items()}


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
    Settings = create_model("Settings", __base__=Settings, **_topic_settings())


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
    return f"{str(error['loc'][0]).upper()}={error['input']!r}: {message}"

"""What OpenTelemetry's own variables ask for, checked at start like every other setting.

The SDK would replace a value that it does not understand by a default, with a line in the log;
here it ends the process with the variable's name. Values of headers are secrets, and never shown.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schemas.settings import SettingsError

SAMPLERS = ("always_on", "always_off", "traceidratio")
SAMPLER_NAMES = (*SAMPLERS, *(f"parentbased_{name}" for name in SAMPLERS))
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
DEFAULT_ENDPOINT = "localhost:4318"
BATCHES = {
    "OTEL_BSP_SCHEDULE_DELAY": 5000,
    "OTEL_BSP_EXPORT_TIMEOUT": 30_000,
    "OTEL_BSP_MAX_QUEUE_SIZE": 2048,
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": 512,
}
"""How spans are sent: milliseconds, and how many."""
DEFAULT_TIMEOUT_MS = 10_000
PAIR = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z/-]+\s*=\s*[!-~]([ !-~]*[!-~])?\s*")


@dataclass(frozen=True)
class TracingSettings:
    """What the SDK does not read from the environment by itself, or reads in another unit."""

    service: str
    """The service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES give one."""
    timeout_s: float
    """How long the receiver may take to accept spans."""
    shown_endpoint: str
    """Where they go: a host and its port."""


def tracing_settings(service: str) -> TracingSettings | None:
    """What the environment asks for; None = no traces. Raises SettingsError."""
    disabled = _one_of("OTEL_SDK_DISABLED", ("true", "false"))
    exporter = _one_of("OTEL_TRACES_EXPORTER", ("otlp", "none"))
    endpoint = next(filter(_get, ENDPOINTS), None)
    if disabled == "true" or exporter == "none" or not (exporter or endpoint):
        return None
    for name in _either("PROTOCOL"):
        _one_of(name, ("http/protobuf",))
    for name in _either("COMPRESSION"):
        _one_of(name, ("none", "gzip", "deflate"))
    for name in (*_either("HEADERS"), "OTEL_RESOURCE_ATTRIBUTES"):
        _check_pairs(name)
    for end in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
        for name in _either(end):
            _check_file(name)
    _check_sampler()
    numbers = {name: _number(name, default) for name, default in BATCHES.items()}
    if numbers["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] > numbers["OTEL_BSP_MAX_QUEUE_SIZE"]:
        raise SettingsError("OTEL_BSP_MAX_EXPORT_BATCH_SIZE is more than OTEL_BSP_MAX_QUEUE_SIZE")
    timeouts_ms = [_number(name, DEFAULT_TIMEOUT_MS) for name in _either("TIMEOUT") if _get(name)]
    return TracingSettings(
        service=service,
        timeout_s=next(iter(timeouts_ms), DEFAULT_TIMEOUT_MS) / 1000,
        shown_endpoint=_shown(endpoint) if endpoint else DEFAULT_ENDPOINT,
    )


def _get(name: str) -> str:
    return os.environ.get(name, "").strip()


def _either(end: str) -> tuple[str, str]:
    """The variable of traces alone, and that of all signals, which stands behind it."""
    return f"OTEL_EXPORTER_OTLP_TRACES_{end}", f"OTEL_EXPORTER_OTLP_{end}"


def _one_of(name: str, allowed: tuple[str, ...]) -> str:
    value = _get(name).lower()
    if value and value not in allowed:
        raise SettingsError(f"{name}={value!r}: may be {' or '.join(allowed)}")
    return value


def _number(name: str, default: int) -> int:
    value = _get(name)
    if value and not (value.isascii() and value.isdecimal() and int(value)):
        raise SettingsError(f"{name}={value!r}: not a whole number above 0")
    return int(value or default)


def _check_pairs(name: str) -> None:
    for number, pair in enumerate(filter(None, _get(name).split(",")), start=1):
        if not PAIR.fullmatch(pair):
            raise SettingsError(f"{name}: entry {number} is not name=value; commas separate them")


def _check_file(name: str) -> None:
    file = _get(name)
    try:
        if file:
            Path(file).read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}={file}: {error.strerror}") from None


def _check_sampler() -> None:
    sampler = _one_of("OTEL_TRACES_SAMPLER", SAMPLER_NAMES)
    share = _get("OTEL_TRACES_SAMPLER_ARG")
    if sampler.endswith("traceidratio") and share:
        try:
            right = 0 <= float(share) <= 1
        except ValueError:
            right = False
        if not right:
            raise SettingsError(f"OTEL_TRACES_SAMPLER_ARG={share!r}: not a share from 0 to 1")


def _shown(name: str) -> str:
    """Host and port, without a password that an address may hold. Raises SettingsError."""
    try:
        parts = urlsplit(_get(name))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name}: not an address such as http://collector:4318")
    return f"{parts.hostname}{port}"

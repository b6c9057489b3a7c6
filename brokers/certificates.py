"""TLS with the brokers: whom we trust, and what we show; renewed files count without a restart."""

import logging
import ssl
from pathlib import Path
from typing import Any

from schemas.pem_files import load_authority, load_certificate
from schemas.settings import Settings, SettingsError

log = logging.getLogger(__name__)


class BrokersContext(ssl.SSLContext):
    """The context of all connections to the brokers, with host names verified.

    Before each new connection it looks whether the files have changed. Existing connections keep
    what they have agreed on; authorities once trusted stay so until the process ends.
    """

    _settings: Settings
    _seen: list[tuple[str, int]]

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """A new connection's TLS: event loops begin each one so."""
        self._renew()
        return super().wrap_bio(*arguments, **options)

    def _renew(self) -> None:
        seen = _versions(self._settings)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self._settings)
            _load(self, self._settings)
        except SettingsError as error:
            log.warning("renewed certificates cannot be used, the old ones stay: %s", error)


def brokers_context(settings: Settings) -> ssl.SSLContext:
    """The context for KAFKA_SSL_*. Raises SettingsError for files that cannot be used."""
    context = BrokersContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context._settings, context._seen = settings, _versions(settings)
    if settings.kafka_ssl_cafile is None:
        context.load_default_certs()
    _load(context, settings)
    return context


def _load(context: ssl.SSLContext, settings: Settings) -> None:
    """Trust the authority and show the certificate that the settings name. Raises SettingsError."""
    if settings.kafka_ssl_cafile:
        load_authority(context, "KAFKA_SSL_CAFILE", settings.kafka_ssl_cafile)
    if settings.kafka_ssl_certfile and settings.kafka_ssl_keyfile:
        load_certificate(
            context,
            ("KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE"),
            settings.kafka_ssl_certfile,
            settings.kafka_ssl_keyfile,
        )


def _versions(settings: Settings) -> list[tuple[str, int]]:
    """The files that the settings name and when each was last written; 0 for one that is gone."""
    named = (settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    return [(name, _written_ns(Path(name))) for name in named if name]


def _written_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0

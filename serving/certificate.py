"""A server's certificate, taken up anew when its files change, as renewals change them."""

import asyncio
import contextlib
import logging
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path

from reporting.waiting import Waiting
from schemas.pem_files import NO_CHECK_TIME, load_certificate
from schemas.settings import Settings, SettingsError

VARIABLES = ("APP_TLS_CERTFILE", "APP_TLS_KEYFILE")
LOOK_EVERY_S = 1.0

Identity = tuple[tuple[int, int, int], ...]

log = logging.getLogger(__name__)


class Certificate:
    """What new connections are answered with; those that exist keep what they have agreed on."""

    def __init__(self, certfile: str, keyfile: str) -> None:
        """Raises SettingsError when the files cannot be used."""
        self._files = (certfile, keyfile)
        self._judged = Waiting({}, what="degraded")
        self._identity = self._look()
        self.context, self.ends_at = _load(*self._files)
        self._judge_end()

    async def watch(self) -> None:
        """Look at the files each second, and take up what they hold, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look_again)

    def look_again(self) -> None:
        """Take the files up if they have changed; those that do not fit each other are passed over.

        That is said once. A renewal may write one file after the other.
        """
        identity = self._look()
        if identity == self._identity:
            self._judge_end()
            return
        try:
            self.context, self.ends_at = _load(*self._files)
        except SettingsError as error:
            self._judged.missing(VARIABLES[0], f"the one before is still in use: {error}")
        else:
            self._identity = identity
            log.info("took up %s=%s, which ends %s", VARIABLES[0], self._files[0], self._end())
            self._judge_end()

    def _look(self) -> Identity:
        """What changes whenever a file is written or replaced; nothing of one that is gone."""
        found = []
        for file in self._files:
            with contextlib.suppress(OSError):
                status = Path(file).stat()
                found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(found)

    def _judge_end(self) -> None:
        ended = self.ends_at <= time.time()
        self._judged.judged(VARIABLES[0], f"it has ended {self._end()}" if ended else None)

    def _end(self) -> str:
        return datetime.fromtimestamp(self.ends_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate_of(settings: Settings) -> Certificate | None:
    """The certificate that the settings name, if they do. Raises SettingsError."""
    if not (settings.app_tls_certfile and settings.app_tls_keyfile):
        return None
    return Certificate(settings.app_tls_certfile, settings.app_tls_keyfile)


def _load(certfile: str, keyfile: str) -> tuple[ssl.SSLContext, float]:
    """A server's context, and when its certificate ends, in Unix time. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    load_certificate(context, VARIABLES, certfile, keyfile)
    try:
        return context, _end_of(context, certfile)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", None) or error.reason
        raise SettingsError(f"{VARIABLES[0]}={certfile}: no client would take it: {why}") from None


def _end_of(context: ssl.SSLContext, certfile: str) -> float:
    """Ask for the certificate as a client would that trusts no other, on no network."""
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.load_verify_locations(certfile)
    client_side.verify_flags = ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    found = client.getpeercert()
    assert found
    return ssl.cert_time_to_seconds(str(found["notAfter"]))

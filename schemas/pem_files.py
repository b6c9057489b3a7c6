"""The PEM files that settings name, tried at start: what is wrong is told by variable."""

import contextlib
import math
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from schemas.settings import Settings, SettingsError

MISFITS = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")
"""What OpenSSL says of a key that is another certificate's."""
NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: when a certificate ends is asked of ended ones, too."""
CLIENT_FILES = ("kafka_ssl_certfile", "kafka_ssl_keyfile"), ("db_sslcert", "db_sslkey")


def load_authority(context: ssl.SSLContext, variable: str, file: str) -> None:
    """Trust the certificates in the file that the variable names. Raises SettingsError."""
    _check_readable(variable, file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise SettingsError(f"{variable}={file}: there is no certificate in it (PEM)") from None


def load_certificate(
    context: ssl.SSLContext, variables: tuple[str, str], certfile: str, keyfile: str
) -> None:
    """Use the certificate, and its key, in the files that the variables name.

    Raises SettingsError.
    """
    certificate, key = (f"{variables[0]}={certfile}", f"{variables[1]}={keyfile}")

    def encrypted() -> NoReturn:
        raise SettingsError(f"{key}: the key is encrypted; it has to be without a passphrase")

    load_authority(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), variables[0], certfile)
    _check_readable(variables[1], keyfile)
    try:
        context.load_cert_chain(certfile, keyfile, password=encrypted)
    except ssl.SSLError as error:
        if error.reason in MISFITS:
            raise SettingsError(f"{key}: the key is not that of {certificate}") from None
        if "PRIVATE KEY-----" in Path(keyfile).read_text(errors="replace"):
            why = (error.reason or str(error)).lower().replace("_", " ")
            raise SettingsError(f"{certificate}, {key}: {why}") from None
        raise SettingsError(f"{key}: there is no private key in it (PEM)") from None


def client_certificates(settings: Settings) -> dict[str, Callable[[], float]]:
    """When each certificate ends that we show to Kafka and PostgreSQL, by its variable.

    In Unix time, of what the files hold when it is asked; NaN while they cannot be used.
    """
    return {
        files[0].upper(): partial(_client_certificate_end, *map(str, paths))
        for files in CLIENT_FILES
        if all(paths := [getattr(settings, name) for name in files])
    }


def _client_certificate_end(certfile: str, keyfile: str) -> float:
    """Show the certificate to a server that trusts no other, on no network."""
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.verify_mode = ssl.CERT_NONE
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.verify_flags = ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server_side.load_verify_locations(certfile)
        for context in (client_side, server_side):
            context.load_cert_chain(certfile, keyfile)
        client = client_side.wrap_bio(to_client, to_server)
        server = server_side.wrap_bio(to_server, to_client, server_side=True)
        for side in (client, server, client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        found = server.getpeercert()
    except (OSError, ValueError):
        return math.nan
    return ssl.cert_time_to_seconds(str(found["notAfter"])) if found else math.nan


def _check_readable(variable: str, file: str) -> None:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise SettingsError(f"{variable}={file}: {error.strerror}") from None

"""The PEM files that settings name, tried at start: what is wrong is told by variable."""

import ssl
from pathlib import Path
from typing import NoReturn

from schemas.settings import SettingsError

MISFITS = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")
"""What OpenSSL says of a key that is another certificate's."""


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


def _check_readable(variable: str, file: str) -> None:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise SettingsError(f"{variable}={file}: {error.strerror}") from None

"""What TLS with PostgreSQL needs on this machine, tried at start."""

import os
import ssl
from pathlib import Path

from schemas.pem_files import load_authority, load_certificate
from schemas.settings import Settings, SettingsError

SYSTEM = "system"
USUAL_ROOT = "~/.postgresql/root.crt"
"""What libpq verifies by when nothing is named."""
OTHERS, OTHERS_OF_ROOTS = 0o077, 0o037
"""What others must not be allowed with a key: libpq refuses it. A key of root's may be shared with
a group."""


def check_files(settings: Settings) -> None:
    """Raises SettingsError when a file that DB_SSL* names cannot be used, or is missing."""
    authority = settings.db_sslrootcert
    if authority == SYSTEM:
        _find_the_systems()
    elif authority:
        load_authority(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "DB_SSLROOTCERT", authority)
    elif settings.db_sslmode.startswith("verify") and not Path(USUAL_ROOT).expanduser().exists():
        raise SettingsError(
            f"DB_SSLMODE={settings.db_sslmode} needs DB_SSLROOTCERT: the file of the authority that"
            f" signed PostgreSQL's certificate, or {SYSTEM}"
        )
    if settings.db_sslcert and settings.db_sslkey:
        files = (settings.db_sslcert, settings.db_sslkey)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        load_certificate(context, ("DB_SSLCERT", "DB_SSLKEY"), *files)
        status = Path(settings.db_sslkey).stat()
        if status.st_mode & (OTHERS_OF_ROOTS if status.st_uid == 0 else OTHERS):
            raise SettingsError(
                f"DB_SSLKEY={settings.db_sslkey}: others may use it, which libpq refuses: chmod 600"
            )


def _find_the_systems() -> None:
    """Show libpq the authorities that Python trusts: it brings an OpenSSL that knows none."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        os.environ.setdefault(paths.openssl_cafile_env, paths.cafile)
    if paths.capath:
        os.environ.setdefault(paths.openssl_capath_env, paths.capath)

"""A certificate authority of the stack's own, and what it has issued, as PEM files.

For development only: whoever can read its directory can speak for everybody. Nothing it issues
ends before the year 3000 unless that is asked for.
"""

from datetime import datetime
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from devstack.data_dir import write_atomically

ORGANIZATION, UNIT = "devstack", "energy"


class Authority:
    """An authority that nobody else trusts; `file` is its certificate.

    What is in the directory already stays in use.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory
        self.file = directory / "authority.pem"
        key = directory / "authority.key"
        if self.file.exists():
            self._authority = trustme.CA.from_pem(self.file.read_bytes(), key.read_bytes())
            return
        self._authority = trustme.CA(organization_name=ORGANIZATION)
        _write_secret(key, self._authority.private_key_pem.bytes())
        write_atomically(self.file, self._authority.cert_pem.bytes().decode())

    def issue(self, name: str, *hosts: str, ends: datetime | None = None) -> Path:
        """The file of a certificate of that name, with its key and its chain.

        A server's is for `hosts`, names or addresses. Java takes keys in PKCS #8 only, and no
        certificate that is for nothing.
        """
        file = self._directory / f"{name}.pem"
        if file.exists():
            return file
        issued = self._authority.issue_cert(
            *(hosts or [name]),
            common_name=name,
            organization_name=ORGANIZATION,
            organization_unit_name=UNIT,
            not_after=ends,
        )
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write_secret(file, b"".join([pem, *(part.bytes() for part in issued.cert_chain_pems)]))
        return file


def principal(name: str) -> str:
    """What Kafka calls a client with the certificate of that name."""
    return f"User:CN={name},OU={UNIT},O={ORGANIZATION}"


def _write_secret(file: Path, content: bytes) -> None:
    write_atomically(file, content.decode(), secret=True)

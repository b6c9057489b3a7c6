"""An authority of a test's own, and the PEM files of what it signs."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Authority:
    """A certificate authority that nobody else trusts; `file` is its certificate."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._authority = trustme.CA(organization_name=name)
        self._directory = directory
        self._name = name
        self._issued = 0
        self.file = directory / f"{name}.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, common_name: str | None = None, days: int = 30) -> tuple[str, str]:
        """The files of a new certificate for these names or addresses, and of its key.

        It ends in so many days; a negative number means that it has ended.
        """
        end = datetime.now(UTC) + timedelta(days=days)
        issued = self._authority.issue_cert(*names, common_name=common_name, not_after=end)
        self._issued += 1
        certificate = self._directory / f"{self._name}-{self._issued}.pem"
        key = certificate.with_suffix(".key")
        for blob in issued.cert_chain_pems:
            blob.write_to_path(certificate, append=True)
        issued.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        return str(certificate), str(key)

    def trusted(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and no other."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        return context

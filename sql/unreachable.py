"""Why PostgreSQL lets a process not in, in plain words, with the setting to look at.

What libpq and the server say is kept where it is not one of these: a server that speaks another
language than English, or is simply away.
"""

import re
from collections import defaultdict

import psycopg
from psycopg.conninfo import conninfo_to_dict

FORBIDDEN = "DB_REQUIRE_AUTH={require_auth} forbids it"
WORDS = {
    r"(?:password|SASL) authentication failed": (
        "wrong password for the role {user}, or no such role (DB_USERNAME, DB_PASSWORD)"
    ),
    r"no password supplied": "the server asks for a password, DB_PASSWORD is empty",
    r"no pg_hba.conf entry for .*, (no encryption|SSL encryption)": (
        "the server's pg_hba.conf has no line for DB_USERNAME={user}, DB_DATABASE={dbname} from"
        " here with {found} (DB_SSLMODE={sslmode})"
    ),
    r"certificate authentication failed": (
        "the certificate of DB_SSLCERT={sslcert} is not one for the role {user} (DB_USERNAME)"
    ),
    r"requires a valid client certificate": (
        "the server asks for a certificate (DB_SSLCERT, DB_SSLKEY)"
    ),
    r"SSL error: .*alert ([a-z ]+)": (
        "the server does not accept our certificate (DB_SSLCERT={sslcert}): {found}"
    ),
    r"certificate verify failed": (
        "the server's certificate is not signed by the authority of DB_SSLROOTCERT={sslrootcert},"
        " or has ended"
    ),
    r"server certificate for (.+) does not match host name": (
        "the server's certificate is for other names than DB_HOST={host}: {found}"
    ),
    r"server does not support SSL": "the server speaks no TLS, DB_SSLMODE={sslmode} demands it",
    r"requirement .* failed: server requested a hashed password": (
        f"the server asked for md5, {FORBIDDEN}"
    ),
    r"requirement .* failed: server requested a cleartext password": (
        f"the server asked for the password in clear text, {FORBIDDEN}"
    ),
    r"requirement .* failed: server did not complete": (
        f"the server asked for no password, {FORBIDDEN}"
    ),
    r"requirement .* failed: server requested (.+) authentication": (
        f"the server asked for {{found}}, {FORBIDDEN}"
    ),
}
"""By what libpq says. The fields are those of the connection string, and what was `found`."""


def in_plain_words(error: psycopg.OperationalError, where: str) -> psycopg.OperationalError:
    """The error of an attempt to connect to `where`; as it is when there are no better words."""
    for pattern, words in WORDS.items():
        if found := re.search(pattern, str(error)):
            fields = defaultdict(str, {k: str(v) for k, v in conninfo_to_dict(where).items()})
            fields["found"] = found.group(found.lastindex or 0)
            return psycopg.OperationalError(words.format_map(fields))
    return error

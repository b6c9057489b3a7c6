"""`python -m serving.probe URL`: the health check of a container. Exits 0 when URL answers 200.

The image has neither curl nor wget. What it asks is the process beside it, by a loopback address,
for which a certificate is not made out: so with https the certificate is not verified.
"""

import http.client
import ssl
import sys
from urllib.parse import urlsplit

from reporting.command import FAILED_STATUS, Parser, fail, run
from schemas.text import one_line

TIMEOUT_S = 5
MOST_SHOWN_BYTES = 1024


def main() -> int:
    """Ask once; returns the exit status. What is wrong is the last line on stderr."""
    parser = Parser(prog="python -m serving.probe", description=__doc__)
    parser.add_argument("url", help="such as http://127.0.0.1:3000/health/ready")
    url: str = parser.parse_args().url
    try:
        status, body = _get(url)
    except (OSError, ValueError, http.client.HTTPException) as error:
        fail(f"{url}: {one_line(error)}")
        return FAILED_STATUS
    if status != http.client.OK:
        fail(f"{url}: {status} {one_line(body)}")
        return FAILED_STATUS
    return 0


def _get(url: str) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_S, context=context)
    connection.request("GET", parts.path)
    answer = connection.getresponse()
    return answer.status, answer.read(MOST_SHOWN_BYTES).decode(errors="replace")


if __name__ == "__main__":
    sys.exit(run(main))

"""The bounds on what a client may ask of a server, in bytes, seconds and number."""

import resource

MAX_HEAD_BYTES = 32 * 1024
"""Of a request line and its headers, and of what is around a body's chunks."""
MAX_HEADERS = 100
MAX_PIPELINED = 16
"""Requests that one connection may send ahead of their answers."""
HEAD_TIMEOUT_S = 10.0
"""How long a head may take, from the connection's start or from its first byte."""
HANDSHAKE_TIMEOUT_S = 10.0
"""How long both sides may take to agree on the keys of TLS."""
BODY_GRACE_S = 10.0
MIN_BODY_BYTES_PER_S = 128 * 1024
"""A body may take BODY_GRACE_S, and a second more for each of these it has brought."""
IDLE_TIMEOUT_S = 75
"""How long a connection is kept open for its next request: longer than proxies usually keep theirs.
It costs nobody anything, since idle connections make room for others."""
ANSWER_STALL_S = 30.0
MIN_ANSWER_BYTES = 16 * 1024
"""A client must take so many bytes of a waiting answer in each ANSWER_STALL_S."""
PIECE_BYTES = 32 * 1024
"""Of an answer by TLS, and what is kept of them: what is behind that, 64 KiB more, is not seen to
be taken until it nearly all is."""
GOODBYE_S = 30.0
"""How long a client may take, once TLS is ended, for the rest of an answer and to say so, too."""
LINGER_S = 2.0
MAX_LINGER_BYTES = 1024 * 1024
"""What is still read, and thrown away, after a refusal: a client that is sending would otherwise
lose the refusal with the connection."""
MAX_DRAINED_BYTES = 64 * 1024 * 1024
"""How much of a body that nobody reads is thrown away before the answer, for the same reason."""
RECEIVE_BUFFER_BYTES = 64 * 1024
"""Of what a connection has sent and nobody has read: so much comes at once from each of many."""
MAX_CONNECTIONS = 512
"""Of a server; each may hold a third of a MiB of a body that nobody has read yet."""
MIN_CONNECTIONS = 8


def connection_limit(most: int, kept_back: int) -> int:
    """How many connections a server may have: at most `most`.

    `kept_back` file descriptors of those the process may open are left for everything else.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return most
    return max(MIN_CONNECTIONS, min(most, descriptors - kept_back))

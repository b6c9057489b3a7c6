"""How the processes of the project answer HTTP, with bounds on heads, bodies and connections.

What a client sends costs memory, time and file descriptors before anybody knows who it is. So both
servers, the API and a worker's health port, are made here: `server` configures them, `protocol`
reads requests within the bounds of `limits`, `bodies` sees that an answer leaves no half-read body
behind, `refusals` has the answers to what is no request. `handshake` bounds what comes before all
that where a server has a `certificate`.
"""

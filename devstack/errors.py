"""What devstack raises beside the errors of the libraries it uses.

BaseException
    Interrupted
    Exception
        DevstackError
"""


class Interrupted(BaseException):
    """A signal asks the process to end: raised on the main thread, to clean up and leave."""


class DevstackError(Exception):
    """What the user can act on; the text is one clear sentence, and a log's tail may follow it."""

"""Why a key is no key here, and what ends a process or a command that is about keys.

Exception
├── RefusedKeyError     a request is not let in; the guard makes a 401 of it
├── NoLiveKeyError      keys are demanded, and the database has none that is good
└── KeyCommandError     what an operator asked for cannot be done with this key
"""

from schemas.keys import Refusal

NO_LIVE_KEY = (
    "the database has no live key: make one with"
    " `python -m api keys create --name NAME --role operator`"
)


class RefusedKeyError(Exception):
    """A request is not let in, for `refusal`; `key_id` is that of the key, where there is one."""

    def __init__(self, refusal: Refusal, key_id: str | None = None) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.key_id = key_id


class NoLiveKeyError(Exception):
    """Keys are demanded, and there is none that anybody could use."""

    def __init__(self, why_demanded: str) -> None:
        super().__init__(f"{why_demanded}, but {NO_LIVE_KEY}")


class KeyCommandError(Exception):
    """What an operator asked for cannot be done; the text says why."""

"""The page's sign-in over HTTP: a key for a cookie."""

from datetime import datetime

from pydantic import Field

from schemas.fields import Input, Output
from schemas.keys import ID_CHARACTERS, PREFIX, SECRET_BYTES, Role

MAX_KEY_CHARACTERS = 200
"""Longer than any key: what is none is refused as one."""
KEY_EXAMPLE = f"{PREFIX}_{'a' * ID_CHARACTERS}_{'0' * 2 * SECRET_BYTES}"


class NewSignIn(Input):
    """The key to sign in with."""

    key: str = Field(max_length=MAX_KEY_CHARACTERS, examples=[KEY_EXAMPLE])


class SignedIn(Output):
    """Who is signed in, and until when."""

    name: str
    role: Role
    expires_at: datetime


class SignInState(Output):
    """Whether keys are demanded here, and who is signed in, where somebody is."""

    demanded: bool
    name: str | None = None
    role: Role | None = None
    expires_at: datetime | None = None

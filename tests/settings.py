"""Settings as the product reads them from a test's environment."""

from typing import Any

from schemas.settings import Settings


def settings_of(environment: dict[str, str], **more: Any) -> Settings:
    """The environment's settings, with `more` of them by their field names."""
    named: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
    return Settings(**(named | more))

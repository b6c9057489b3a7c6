"""Whether this API demands keys, and what is said about it at the start."""

from schemas.settings import Settings, is_loopback


def why_demanded(settings: Settings) -> str | None:
    """The setting because of which keys are demanded; None when they are not."""
    if settings.app_auth == "keys":
        return "APP_AUTH=keys demands keys"
    if settings.app_auth == "auto" and not is_loopback(settings.app_host):
        return f"APP_HOST={settings.app_host} is open to other machines, so that keys are demanded"
    return None


def why_open(settings: Settings) -> str:
    """Why no keys are demanded, where they are not."""
    if is_loopback(settings.app_host):
        return f"no keys are demanded: APP_HOST={settings.app_host} is this machine alone"
    return f"no keys are demanded of anybody who can reach {settings.app_host}: APP_AUTH=off"


def warnings(settings: Settings) -> list[str]:
    """What an operator should know of: everybody on a network may do everything."""
    if why_demanded(settings) or is_loopback(settings.app_host):
        return []
    return [why_open(settings)]

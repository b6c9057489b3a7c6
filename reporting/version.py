"""The version of this product, as `--version` and the metrics say it."""

import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

NAME = "energy-ingestion-engine"
PROJECT_FILE = Path(__file__).parent.parent / "pyproject.toml"
UNKNOWN = "unknown"


def version() -> str:
    """The version, such as 0.1.0; `unknown` for a copy without pyproject.toml."""
    try:
        return installed_version(NAME)
    except PackageNotFoundError:
        pass
    try:
        return str(tomllib.loads(PROJECT_FILE.read_text())["project"]["version"])
    except OSError:
        return UNKNOWN

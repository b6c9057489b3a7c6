"""What docs/analytics.md computes: "name: sum = result"."""

import re
from pathlib import Path

PAGE = (Path(__file__).parent.parent / "docs" / "analytics.md").read_text()
CLAIM = re.compile(r"`([\w.]+)`:\s([-+*/(). \d]+?) = (\d+(?:\.\d+)?)")

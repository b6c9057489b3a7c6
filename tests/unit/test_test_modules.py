"""Tests stand alone: what several of them need has a home beside them."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
OF_A_TEST = re.compile(r"^\s*(?:from|import) tests\.(?:\w+\.)*test_\w+", re.MULTILINE)


def test_no_module_imports_a_test_module() -> None:
    modules = list(TESTS.rglob("*.py"))
    assert len(modules) > 50
    assert [str(m) for m in modules if OF_A_TEST.search(m.read_text(encoding="utf-8"))] == []

"""News of a release: each fragment in changes/ gets into CHANGELOG.md, whose manner it keeps."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FRAGMENT = re.compile(r"[a-z0-9-]+\.(act|added|changed)\.md")
TEMPLATE = "release.md.jinja"


def test_each_fragment_is_of_a_known_kind_and_gets_into_the_changelog(tmp_path: Path) -> None:
    names = {path.name for path in (ROOT / "changes").iterdir()} - {TEMPLATE, ".gitignore"}
    assert [name for name in names if not FRAGMENT.fullmatch(name)] == []
    (tmp_path / "changes").mkdir()
    kept = (f"changes/{TEMPLATE}", "pyproject.toml", "CHANGELOG.md")
    for name in (*kept, *(f"changes/{name}" for name in names)):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / "changes/one.act.md").write_text("Run this.\nThen that.\n")
    (tmp_path / "changes/two.added.md").write_text("A thing.\n")
    build = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "9.8.7"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    before, _, news = (tmp_path / "CHANGELOG.md").read_text().partition("<!-- releases -->\n")
    assert before == (ROOT / "CHANGELOG.md").read_text().partition("<!-- releases -->\n")[0]
    news, _, older = news.partition("\n## 0.2.0")
    assert older
    assert re.match(r"\n## 9\.8\.7 \(\d{4}-\d\d-\d\d\)\n\nTo act on:\n\n- ", news), news
    assert "- Run this.\n  Then that.\n" in news
    assert news.index("To act on:") < news.index("\n\nAdded:\n\n- ")
    assert "\n\n\n" not in news
    assert news.count("\n- ") == len(names) + 2

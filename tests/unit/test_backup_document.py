"""docs/backup.md says of each table where it can be had again from."""

import re
from pathlib import Path

from sql.migrate import MIGRATIONS_DIRECTORY

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "backup.md"
MADE = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
DROPPED = re.compile(r"^DROP TABLE (\w+)", re.MULTILINE)
OF_MIGRATE = {"schema_migrations"}


def test_each_table_stands_in_the_document() -> None:
    tables = set(OF_MIGRATE)
    for path in sorted(MIGRATIONS_DIRECTORY.glob("*.sql")):
        tables |= set(MADE.findall(path.read_text()))
        tables -= set(DROPPED.findall(path.read_text()))
    _, _, section = DOCUMENT.read_text().partition("## Where each table")
    rows = section.partition("\n## ")[0].splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| `")]
    assert sorted(tables - set(re.findall(r"`(\w+)`", " ".join(cells)))) == []

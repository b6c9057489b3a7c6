"""Migrations go forward only: one that was released stays as it is, and says what runs on it."""

import hashlib
import re

from sql.migrate import MIGRATIONS_DIRECTORY

RELEASED = {
    "0001_schema.sql": "7197a94c7d24c3ab6d424ed093f659c4fc42994338d01d4441bc2cf9c2de467a",
    "0002_figures.sql": "a1c76953114c5005e509e84ca9e6ae7c58b30a1d0a531e32b5305ef55aa7cc9d",
    "0003_rollups.sql": "c45d3a98712dc2618c3727415f6f7c1c0615e5095516853c1d50f92aa3023352",
    "0004_streams.sql": "52a2743e89aa352cc43851aa7084c3ccafe6ec4e2e1959049b23892b9e9a7181",
    "0005_identity.sql": "a6af5f27b50bd414c51dc2c7352b605ed54bf5abbec4f65563813ee699c384ce",
    "0006_quarantine.sql": "1c023b068d888fc76df4566e3e9906b10ad80e9fd40e6680d3c74617885f3cd6",
    "0007_days.sql": "4eb288255ec97650aaa4c66110d406aba3a7bbba9badaa286e233cd7d0219a63",
    "0008_sessions.sql": "0e9f1e24b5484687c2f3d8492db50e6e5c5f09018f259bdd058577e16bee4c17",
    "0009_claims.sql": "0e62d1510172e3e7a9423d16e1c4bcfc3fef3465e6f3804437dad853d8ce5ff7",
    "0010_keys.sql": "512970e229079d4d2472ebbe81dd79a68c22c73d6f938bae69bb4f5c50419517",
    "0011_rights.sql": "3cce7759fd7f2f71c1cec95b40b323a7a782d83b6ecefda3b245418a5de75884",
    "0012_real_meters.sql": "430f8b1e50637344ada5875ba611f434c9c8c534c517179825b69eeaccac1399",
    "0013_salvage.sql": "38dfacac0a72b28e4d16dd5329053b5b8aff592588bc73bb2cdc2c60cace3658",
    "0014_corrections.sql": "6ee6d6e1ffde1247c2fcb7f1a440b1a6dbc060e9b8d9663fa7e8789dfa84fddd",
    "0015_sessions_said.sql": "9b909e1cc4bbf80b76a898dbc75a31f1b548b11624fa49fa06bde4292242ba5e",
    "0016_session_events.sql": "55312fdd4a7a46cc8dfb5460f93314f92d49249870c9ad3ba9bdea09dda136dc",
    "0017_charger_hours.sql": "0558bb7b44f3bbb518c11024a965757ca4aa8a06d026b2d2e3781a157ba06d39",
    "0018_rejected_groups.sql": "af02c81d71241fd5e51edd9fcc323ac61f88943ab2220829f88397dd28b010ed",
    "0019_alerts.sql": "bdce6d44016be51c5f2680d79d7e36c486b7787c80b0455d088d91095a6e56b4",
    "0020_alert_deliveries.sql": "af01fbc91b863046c1be40186abffd5b11fb726d642db78852488d04dba185ef",
    "0021_days_on_nodes.sql": "73e450ed139b43474e3ed1900eaa834041036ca2411852935d8a4da07ed8734d",
    "0022_rows_alone.sql": "294f1735a4f5b93a3fc303f663931dceae6eeffefb09446e3a0ab2e6f7cb5a7a",
    "0023_gathering.sql": "61f847024cbb569907b2e103bd59834360b49d866ad79d118cf83f08b0529feb",
}
"""The SHA-256 of each file. A new one adds its line; a line that is here is never changed again."""
FIRST_THAT_STATES_IT = "0005"


def test_released_migrations_are_never_changed() -> None:
    found = {path.name: path.read_bytes() for path in MIGRATIONS_DIRECTORY.glob("*.sql")}
    assert {name: hashlib.sha256(text).hexdigest() for name, text in found.items()} == RELEASED


def test_each_migration_states_the_oldest_code_it_allows() -> None:
    for path in sorted(MIGRATIONS_DIRECTORY.glob("*.sql")):
        number = path.name[:4]
        if number >= FIRST_THAT_STATES_IT:
            stated = re.match(r"-- oldest code: (\d{4})\n", path.read_text())
            assert stated, path.name
            assert stated.group(1) <= number, path.name

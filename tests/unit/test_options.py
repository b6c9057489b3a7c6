"""Options of the commands: what cannot be right is told in one line, in the log's format."""

import json

import pytest

from ingest_worker.options import parser


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("rejected list --limit 0", "'0' is not a number from 1 to 10,000"),
        ("rejected list --limit 10001", "'10001' is not a number from 1 to 10,000"),
        ("rejected list --since soon", "'soon' is not a time such as 2026-01-31"),
        ("rejected list --since 0001-01-01T00:00+14:00", "is not a time such as"),
        ("rejected list --topic \udcff", "must not contain lone surrogates"),
        ("rejected show 9223372036854775808", "is not the id of a rejected reading"),
        ("rejected show one", "'one' is not the id of a rejected reading"),
        ("replay --topic T --from 1969-12-31", "lies before 1970"),
        ("positions set --topic T --partition x --to 0", "'x' is not a partition's number, or all"),
        ("positions set --topic T --partition 0 --to x", "not earliest, latest or an offset"),
        ("positions frob", "invalid choice: 'frob'"),
    ],
)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_bad_input_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    said: str,
    log_format: str,
) -> None:
    monkeypatch.setenv("LOG_FORMAT", log_format)
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words.split())
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    if log_format == "json":
        (line,) = lines
        assert json.loads(line)["level"] == "error"
        assert said in json.loads(line)["message"]
    else:
        assert lines[0].startswith("usage: ")
        assert lines[-1].startswith("error: ")
        assert said in lines[-1]

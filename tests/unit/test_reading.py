"""A text that cannot be read or parsed is one line that names the file and what was expected."""

import os
from pathlib import Path

import pytest

from vimix.values.errors import VimixError
from vimix_adapters.config import read_recipe
from vimix_adapters.metrics.jsonl import JsonlMetrics
from vimix_adapters.prepare.parts import SETTINGS, claim_parts, drop_parts
from vimix_adapters.prepare.quarantine import LeftOut, quarantine_file, read_quarantine, write_quarantine
from vimix_adapters.reading import MOST_RECIPE
from vimix_adapters.reports.curves import read_metrics
from vimix_adapters.reports.results import read_results

DEEP = "[" * 100_000
DIGITS = "9" * 5_000
RECIPES = {
    "FIFO": (os.mkfifo, "it is not a regular file"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
    "folder": (Path.mkdir, "it is a folder"),
    "missing": (lambda _: None, "there is no such file"),
    "Latin-1": (lambda path: path.write_bytes(b"name = 'caf\xe9'"), "expected UTF-8, found the byte 0xe9"),
    "too long": (lambda path: path.write_bytes(b"#" * (MOST_RECIPE + 1)), "more than 1,048,576"),
    "TOML with a mistake": (lambda path: path.write_text("a = = 1"), "not valid TOML"),
    "deep": (lambda path: path.write_text(f"a = {DEEP}"), "nested too deeply"),
    "5000 digits": (lambda path: path.write_text(f"seed = {DIGITS}"), "not valid TOML"),
    "5000 hexadecimal digits": (
        lambda path: path.write_text(f"name = 'x'\nseed = 0x{DIGITS}\n[data]\nstore = ''\n[modalities.rgb]\n"),
        "seed: expected a whole number of at most 9223372036854775807",
    ),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", RECIPES)
def test_a_recipe_that_cannot_be_read_is_named_with_the_reason(tmp_path, kind) -> None:
    make, reason = RECIPES[kind]
    make(tmp_path / "r.toml")
    with pytest.raises(VimixError, match=r"r\.toml: ") as refusal:
        read_recipe(tmp_path / "r.toml")
    assert reason in str(refusal.value)


@pytest.mark.parametrize("value", [DIGITS, DEEP])
def test_an_override_that_is_no_value_is_refused_with_its_key(tmp_path, value) -> None:
    (tmp_path / "r.toml").write_text("name = 'x'\n[data]\nstore = ''\n[modalities.rgb]\n")
    with pytest.raises(VimixError, match="seed: expected a whole number"):
        read_recipe(tmp_path / "r.toml", [f"seed={value}"])


@pytest.mark.parametrize("content", [DEEP.encode(), b"\xff\xfe", b'{"a": ' + DIGITS.encode() + b"}"])
def test_a_damaged_record_is_named(tmp_path, content) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(VimixError, match=r"r\.json: expected the JSON of an evaluation .* but it cannot be read"):
        read_results(tmp_path / "r.json")


@pytest.mark.parametrize("line", [b"{", b"[1]", b"{}", b"\xff", DEEP.encode(), b'{"step": "1"}'])
def test_a_damaged_row_of_metrics_stops_a_resumed_run_with_the_way_out(tmp_path, line) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(VimixError, match=r"metrics\.jsonl.*remove the"):
        JsonlMetrics(file).rewind(2)
    with pytest.raises(VimixError, match=r"metrics\.jsonl"):
        read_metrics(file)
    assert file.read_bytes().endswith(b'{"step": 3}\n'), "nothing was dropped"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace("reason", "raison d'\u00eatre").encode("latin-1"),
        lambda text: text.partition("\n")[2].encode(),
        lambda text: text.encode() + b'"',
        lambda text: text.encode() + b"a.mp4,b,,d\n",
    ],
)
def test_a_quarantine_file_saved_again_by_a_spreadsheet_is_named_with_the_way_out(tmp_path, spoil) -> None:
    store = tmp_path / "s.h5"
    rows = [LeftOut("a.mp4", "damaged, or so"), LeftOut("b.mp4", 'two "lines"\nof it', passing=True)]
    write_quarantine(store, rows)
    assert read_quarantine(store) == rows
    file = quarantine_file(store)
    file.write_bytes(spoil(file.read_text()))
    with pytest.raises(VimixError, match=r"s\.quarantine\.csv: expected .*--force"):
        read_quarantine(store)


@pytest.mark.parametrize("content", [b"\xff", DEEP.encode(), b"[]"])
def test_parts_whose_settings_are_damaged_are_not_taken_for_those_of_this_call(tmp_path, content) -> None:
    parts, settings = tmp_path / "parts", {"codec": "raw"}
    claim_parts(parts, settings, {})
    (parts / SETTINGS).write_bytes(content)
    drop_parts(parts, settings)
    assert parts.exists(), "perhaps the parts of another store"
    with pytest.raises(VimixError, match="delete"):
        claim_parts(parts, settings, {})

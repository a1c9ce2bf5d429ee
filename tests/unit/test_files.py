"""An output replaces nothing that is there, unless --force says so."""

import os

import pytest

from vimix.values.errors import VimixError
from vimix_adapters.files import require_new


def test_a_new_file_may_be_written_and_nothing_is_left_by_the_check(tmp_path) -> None:
    require_new(tmp_path / "deep/out.json", inputs=[tmp_path / "missing.json"])
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_exists_is_replaced_with_force_only(tmp_path) -> None:
    out = tmp_path / "out.json"
    out.write_text("")
    with pytest.raises(VimixError, match=r"out\.json exists: choose another name, or replace it with --force"):
        require_new(out)
    require_new(out, force=True)
    assert out.exists(), "the check itself replaces nothing"


@pytest.mark.parametrize("force", [False, True])
def test_an_input_is_never_an_output_under_any_name(tmp_path, force) -> None:
    store, same, link = tmp_path / "store.h5", tmp_path / "same.h5", tmp_path / "link.h5"
    store.write_text("videos")
    os.link(store, same)
    link.symlink_to(store)
    (tmp_path / "folder").mkdir()
    for out in (store, same, link, tmp_path / "folder/../store.h5"):
        with pytest.raises(VimixError, match="is read by this command and would be lost"):
            require_new(out, force, [tmp_path / "other.h5", store])

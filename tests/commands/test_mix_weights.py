"""``vimix experiments weights``: the mean weights of the method, section 4."""

import json

import pytest

from tests.cli import vimix
from vimix_adapters.commands.mix_weights import mix_weights

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("encoder", "extent", "random_layers", "same_layer"),
    [
        ("s3d", "box", 0.92, 0.87),
        ("s3d", "map", 0.80, 0.68),
        ("stgcn", "box", 0.83, 0.80),
        ("stgcn", "map", 0.64, 0.58),
    ],
)
def test_the_means_are_those_of_the_method(encoder, extent, random_layers, same_layer) -> None:
    weights = mix_weights(encoder, extent)
    assert weights.random_layers == pytest.approx(random_layers, abs=0.01)
    assert weights.same_layer == pytest.approx(same_layer, abs=0.01)


def test_the_table_has_a_row_for_each_k_and_a_column_for_each_l(tmp_path, capsys) -> None:
    out = tmp_path / "weights.json"
    assert vimix("experiments", "weights", "--encoder", "stgcn", "--out", out) == 0
    printed = capsys.readouterr().out
    assert 'stgcn, extent = "map": 0.64 on average over random layers' in printed
    assert "| k = 9 |" in printed
    assert "| l = 9 |" in printed
    measured = json.loads(out.read_text())["weights"]
    assert [len(row) for row in measured[0]["by_layers"]] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert vimix("experiments", "weights", "--encoder", "stgcn", "--out", out) == 2

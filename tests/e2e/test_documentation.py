"""README and the pages of docs/ do what they say: their commands and Python are run, page by page.

In a fenced block of a page, the language says what the test does with it:

* ``bash``: every line is a ``vimix`` command, which must succeed, or a ``make`` target, which must exist;
* ``python``: is run, after the blocks above it and in one namespace with the page's other Python;
* ``sh``: is not run, since it needs a cluster, a data set, or hours; its ``vimix`` commands are only parsed;
* ``toml``: must be valid TOML; ``text`` and ``console`` are left alone.

The blocks of a page run in order in a folder of its own, with videos, skeletons, official lists and the demos'
recipes, all made small. A page continues the folder of another, as that one's last command left it, where it says
``<!-- The commands of this page continue those of OTHER.md. -->``.
"""

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import typer

from tests.builders import bow_and_wave
from tests.cli import vimix
from tests.fakes import official_datasets
from tests.fakes.skeletons import write_walk
from tests.recipes import ROOT, shrunk
from vimix_adapters.cli import main
from vimix_adapters.config import PROTOCOLS, Finetuning
from vimix_adapters.datasets import ucf101

GENERATED = {ROOT / "docs/commands.md", ROOT / "docs/recipe-keys.md"}
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").rglob("*.md")) - GENERATED)]
CONTINUES = re.compile(r"<!-- The commands of this page continue those of (\S+\.md)\. -->")
KINDS = {"bash", "python", "sh", "toml", "text", "console"}


def blocks(page: Path, *kinds: str) -> list[tuple[str, str]]:
    """Language and text of the page's fenced blocks, in order; directives of MyST (``{toctree}``) are none."""
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [(kind, text) for kind, text in fenced if kind in kinds or not (kinds or kind.startswith("{"))]


def commands(text: str) -> list[str]:
    """The lines of a block of shell, continued ones joined, without comments and empty ones."""
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def on_pages(*kinds: str) -> Any:
    """The pages that have blocks of those kinds, as parameters of a test."""
    having = [page for page in PAGES if blocks(page, *kinds)]
    return pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in having])


class Workplaces:
    """A folder for each page that has run, and the names that its Python left behind."""

    def __init__(self, above: Path) -> None:
        self.above = above
        self.names: dict[Path, dict[str, Any]] = {}

    def of(self, page: Path) -> Path:
        """The folder of a page, after its blocks have run in it."""
        folder = self.above / page.stem
        if page not in self.names:
            other = CONTINUES.search(page.read_text(encoding="utf-8"))
            if other:
                shutil.copytree(self.of(page.parent / other[1]), folder)
            else:
                furnish(folder)
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                self.names[page] = run(page)
        return folder


def furnish(folder: Path) -> None:
    """``my_videos``, UCF101's and NTU's files, and the demos' recipes: same arms, same names of stages."""
    bow_and_wave(folder / "my_videos", 8)
    shutil.copy(folder / "my_videos/wave/0.mp4", folder / "my_videos/wave/clip.mp4")
    official_datasets.ucf101(folder)
    for number in range(6):
        name = f"S001C001P00{number + 1}R001A00{1 + number % 2}"
        write_walk(folder / f"nturgb+d_skeletons/{name}.skeleton", number, 1)
    (folder / "experiments").mkdir()
    for name in ("demo", "demo-skeleton"):
        recipe = shrunk(ROOT / f"experiments/{name}.toml")
        for stages in ("pretrain", "cmmc"):
            recipe[stages].update(epochs=1, milestones=[])
        (folder / f"experiments/{name}.toml").write_text(tomli_w.dumps(recipe))


def run(page: Path) -> dict[str, Any]:
    """Run the blocks of a page in the current folder; the names that its Python defines."""
    names: dict[str, Any] = {"__name__": page.stem}
    for kind, text in blocks(page, "bash", "python"):
        if kind == "python":
            exec(compile(text, str(page), "exec"), names)
            continue
        for line in commands(text):
            tool, *arguments = shlex.split(line, comments=True)
            if tool != "make":
                assert tool == "vimix", f"{page.name}: only vimix and make are run; put this into a block of sh: {line}"
                assert vimix(*arguments) == 0, f"{page.name}: {line}"
    return names


@pytest.fixture(scope="module")
def workplaces(tmp_path_factory) -> Iterator[Workplaces]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ucf101, "TOTALS", {f"{kind}{k}": n for k in (1, 2, 3) for kind, n in official_datasets.UCF_SIZES})
        yield Workplaces(tmp_path_factory.mktemp("pages"))


@pytest.mark.slow
@on_pages("bash", "python")
def test_every_command_and_every_python_block_of_a_page_runs(page, workplaces) -> None:
    workplaces.of(page)


@pytest.mark.slow
@on_pages("sh")
def test_every_vimix_command_that_is_not_run_has_arguments_that_exist(page) -> None:
    lines = [line for _, text in blocks(page, "sh") for line in commands(text)]
    for line in (line for line in lines if line.startswith("vimix ")):
        group, words = typer.main.get_command(main.app), shlex.split(line, comments=True)[1:]
        while hasattr(group, "commands"):
            group = group.commands[words.pop(0)]
        assert group.make_context("vimix", words), line


@on_pages()
def test_every_block_of_a_page_is_of_a_kind_that_this_test_knows(page) -> None:
    assert {kind for kind, _ in blocks(page)} <= KINDS
    for _, text in blocks(page, "toml"):
        assert tomllib.loads(text)


def test_every_make_target_of_the_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lines = [line for page in PAGES for _, text in blocks(page, "bash", "sh") for line in commands(text)]
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert targets >= {"demo", "test"}
    assert all(f"\n{target}:" in makefile for target in targets)


def test_every_path_of_the_project_that_a_page_names_exists() -> None:
    named = re.compile(r"`((?:src|adapters|tests|experiments|docs)/[\w./-]+)`")
    missing = {
        f"{page.name}: {path}"
        for page in PAGES
        for path in named.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / path).exists() and not path.startswith("docs/_build")
    }
    assert not missing


@pytest.mark.slow
def test_the_page_on_training_explains_every_number_of_the_metrics(workplaces) -> None:
    stage = workplaces.of(ROOT / "docs/getting-started.md") / "first/run/vimix/5-cmmc-rgb-from-flow"
    row = json.loads((stage / "metrics.jsonl").read_text().splitlines()[-1])
    training = (ROOT / "docs/training.md").read_text()
    assert all(f"`{name}`" in training for name in row.keys() - {"step", "epoch", "learning_rate"})


@pytest.mark.slow
def test_the_modality_of_the_example_is_the_change_between_frames(workplaces) -> None:
    page = ROOT / "docs/extending.md"
    workplaces.of(page)
    names = workplaces.names[page]
    assert names["checkpoint"].modality == "change"
    store = names["store"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplaces.of(page))
        rgb = store.of.read(0, "rgb", 0, 6).astype(int)
        assert (store.read(0, "change", 0, 6)[1:] == abs(rgb[1:] - rgb[:-1])).all()
        assert (store.read(0, "change", 2, 3) == store.read(0, "change", 0, 6)[2:5]).all(), "wherever a clip begins"
        assert not store.read(0, "change", 0, 1).any()
        assert (store.read(0, "rgb", 1, 2) == rgb[1:3]).all()


@pytest.mark.slow
def test_the_policy_of_the_example_replaces_the_share_that_its_weight_says(workplaces) -> None:
    page = ROOT / "docs/extending.md"
    workplaces.of(page)
    names = workplaces.names[page]
    left = (names["mixed"] == names["maps"]).flatten(1).float().mean(dim=1)
    own = names["plan"].partner == range(8)
    assert not own.all()
    assert left.numpy()[~own] == pytest.approx(names["plan"].weight[~own], abs=1e-6)


@pytest.mark.slow
def test_the_table_of_protocols_is_what_results_record(workplaces) -> None:
    page = ROOT / "docs/evaluation.md"
    folder = workplaces.of(page)
    rows = rows_of_three(page.read_text().split("## Training with labels")[0])
    for column, name in enumerate(("vimix", "coclr", "crosclr"), start=1):
        protocol = json.loads((folder / f"{name}.json").read_text())["protocol"]
        assert protocol["name"] == name
        changed = protocol["changed_by_the_recipe"]
        told = {row[0]: row[column].strip() for row in rows if row[0] not in changed}
        recorded = dict(numbers(protocol))
        assert {key: recorded.get(key, "-") for key in told} == told
        assert recorded.keys() - told.keys() <= {*changed}, "every number is in the table"


def test_the_table_of_finetuning_has_the_numbers_of_the_protocols() -> None:
    text = (ROOT / "docs/evaluation.md").read_text().split("## Training with labels")[1]
    columns = [
        PROTOCOLS[name].finetuning[maps]
        for name, maps in (("vimix", "planes"), ("vimix", "graph"), ("coclr", "planes"))
    ]
    rows = [row for row in rows_of_three(text) if row[0] != "augment"]
    assert len(rows) > 6
    for name, *cells in rows:
        for settings, cell in zip(columns, cells, strict=True):
            assert cell in told(settings, name), (name, cell)


def told(settings: Finetuning, name: str) -> tuple[str, ...]:
    """The ways in which the table may write a number of finetuning."""
    value = getattr(settings, name)
    if name == "momentum" and settings.optimiser == "adam":
        return ("-",)
    if isinstance(value, str):
        return (f"`{value}`",)
    return (written([*value]),) if isinstance(value, tuple) else (f"{value:g}", f"{value:.5f}")


def rows_of_three(text: str) -> list[tuple[str, ...]]:
    """Name and three further cells of the rows of tables that begin with a name in code."""
    found = re.findall(r"^\| `([\w.]+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", text, flags=re.MULTILINE)
    return [tuple(cell.strip() for cell in row) for row in found]


def numbers(protocol: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and value of what a protocol fixes, as the table writes them."""
    trained = ("probe", "end_to_end", "end_to_end_augment")
    fixed = ("window_stride", "windows_end", "padding", "crop_share", "unit_clips", "centring", "fusion")
    yield from ((key, written(protocol[key])) for key in fixed)
    for key in trained if protocol["end_to_end"] else trained[:1]:
        yield from ((f"{key}.{name}", written(value)) for name, value in (protocol[key] or {}).items())


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else f"{value:g}"


def test_every_interval_of_the_results_stands_on_the_page_that_its_row_links_to() -> None:
    table = (ROOT / "docs/results.md").read_text().split("## All records")[0]
    rows = [line for line in table.splitlines() if line.startswith("|") and "](results/" in line]
    assert len(rows) > 25
    for row in rows:
        linked = "".join((ROOT / "docs" / link).read_text() for link in re.findall(r"\]\((results/[\w-]+\.md)\)", row))
        for interval in re.findall(r"[-+]\d+\.\d to [-+]\d+\.\d", row):
            assert interval in linked, f"{interval} of {row}"

"""The paper's Tables 1 to 5, with our numbers next to the printed ones."""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from attrs import evolve, frozen
from rich.table import Table

from vimix_adapters.reports.console import markdown_table, text_table
from vimix_adapters.reports.summaries import cell as ours_text
from vimix_adapters.reports.summaries import mean_and_deviation


@frozen
class Source:
    """The origin of a number of ours: a score of an arm of a recipe (experiments/NAME.toml)."""

    recipe: str
    arm: str
    modality: str
    score: str
    tested_on: str = ""
    """Key in [evaluate.stores] of another data set than the recipe's own."""
    task: str = "run"
    """``run`` for the table that ``vimix run`` writes, or else the task of ``vimix evaluate``."""
    protocol: str = "vimix"
    """Protocol of the evaluation, if the task is one of ``vimix evaluate``."""


Values = Callable[[Source], Sequence[float]]
"""Function from a source to its measured values from 0 to 1, one per seed; empty if there is no such run."""


@frozen
class Cell:
    """A number of the paper in per cent (NaN if it prints none), and the source of ours (None for other methods)."""

    paper: float
    source: Source | None = None


@frozen
class PaperRow:
    """A row of a table."""

    block: str
    name: str
    cells: Sequence[Cell]


@frozen
class PaperTable:
    """One of the paper's tables."""

    number: int
    title: str
    recipe: str
    """The recipe of our numbers; some lines, such as those of CoCLR, have another."""
    columns: Sequence[str]
    lines: Sequence[PaperRow]
    ours: str = "{column}, ours"
    """Heading of our columns; ``{column}`` stands for the paper's heading."""

    def from_recipe(self, recipe: str, modality: str | None = None) -> "PaperTable":
        """Return the table with our numbers from another recipe, whose arms have the same names, on its own data set.

        Columns of other data sets and tasks, which that recipe does not have, are left out. ``modality`` replaces that
        of all lines.
        """
        kept = [n for n in range(len(self.columns)) if any(_own(line.cells[n], self.recipe) for line in self.lines)]
        lines = [
            evolve(line, cells=[_read_from(line.cells[n], self.recipe, recipe, modality) for n in kept])
            for line in self.lines
        ]
        columns = [self.columns[n] for n in kept]
        whose = ", ".join(filter(None, (recipe, modality)))
        return evolve(self, columns=columns, lines=lines, ours=f"ours ({whose}; its own data)")


def _own(cell: Cell, recipe: str) -> bool:
    source = cell.source
    return source is not None and (source.recipe, source.tested_on, source.task) == (recipe, "", "run")


def _read_from(cell: Cell, first: str, recipe: str, modality: str | None) -> Cell:
    if cell.source is None or not _own(cell, first):
        return evolve(cell, source=None)
    return evolve(cell, source=evolve(cell.source, recipe=recipe, modality=modality or cell.source.modality))


@frozen
class Filled:
    """A table with the measured values of each cell that has a source."""

    table: PaperTable
    ours: Sequence[Sequence[Sequence[float]]]
    """Values by line, column and seed; empty for a cell without a run."""

    def texts(self) -> list[list[str]]:
        """Return the cells of each line: block, name, then the paper's number and ours for each column."""
        lines = []
        for line, measured in zip(self.table.lines, self.ours, strict=True):
            numbers = [
                text
                for cell, values in zip(line.cells, measured, strict=True)
                for text in (_printed(cell.paper), ours_text(values) if values else "-")
            ]
            lines.append([line.block, line.name, *numbers])
        return lines

    @property
    def headings(self) -> list[str]:
        """Headings of the cells in ``texts``."""
        ours = self.table.ours
        return [
            "",
            "",
            *(name for column in self.table.columns for name in (f"{column}, paper", ours.format(column=column))),
        ]


UCF_HMDB = ("linear UCF101", "linear HMDB51", "R@1 UCF101", "R@1 HMDB51")
STREAMS = {"rgb": "rgb", "flow": "flow", "two_stream": "rgb + flow"}
BOTH = "rgb + flow"


def paper_numbers() -> dict[str, Any]:
    """Return the printed numbers of the tables in per cent, by table, block and line, and the ``names`` of lines."""
    text = resources.files("vimix_adapters.reports").joinpath("paper_tables.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def paper_table(number: int) -> PaperTable:
    """Return one of the paper's tables. Raises KeyError unless ``number`` is 1 to 5."""
    return {1: _table1, 2: _table2, 3: _table3, 4: _table4, 5: _table5}[number](paper_numbers())


def filled(table: PaperTable, values: Values) -> Filled:
    """Return the table with our numbers."""
    return Filled(
        table,
        [[list(values(cell.source)) if cell.source else [] for cell in line.cells] for line in table.lines],
    )


def markdown(filled: Filled) -> str:
    """Return the table as Markdown."""
    return markdown_table(filled.headings, filled.texts(), "llr")


def console(filled: Filled) -> Table:
    """Return the table for the console."""
    title = f"Table {filled.table.number}: {filled.table.title}"
    headings, texts = [heading.replace(", ", "\n") for heading in filled.headings], filled.texts()
    caption = "per cent; ours: mean ± deviation"
    return text_table(headings, texts, "llr", title, caption, sections=[line[0] for line in texts])


def plain(filled: Filled) -> dict[str, Any]:
    """Return the table as plain data: the paper's numbers in per cent (None if it prints none), ours from 0 to 1."""
    lines = []
    for line, measured in zip(filled.table.lines, filled.ours, strict=True):
        ours = [dict(zip(("mean", "deviation"), mean_and_deviation(v), strict=True)) if v else None for v in measured]
        paper = [None if math.isnan(cell.paper) else cell.paper for cell in line.cells]
        lines.append({"block": line.block, "line": line.name, "paper": paper, "ours": ours})
    return {"table": filled.table.number, "columns": list(filled.table.columns), "lines": lines}


def _printed(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.1f}"


def _four(recipe: str, arm: str, modality: str, numbers: Sequence[float]) -> list[Cell]:
    """Linear accuracy and R@1 on UCF101, the recipe's own data set, and on HMDB51."""
    columns = (("top-1", ""), ("top-1", "hmdb51"), ("R@1", ""), ("R@1", "hmdb51"))
    return [
        Cell(number, Source(recipe, arm, modality, score, tested_on))
        for number, (score, tested_on) in zip(numbers, columns, strict=True)
    ]


def _table1(numbers: Mapping[str, Any]) -> PaperTable:
    lines = [
        PaperRow("", numbers["names"][arm], _four("table1", arm, "rgb", values))
        for arm, values in numbers["table1"].items()
    ]
    return PaperTable(1, "mixing in the input space, RGB, 200 epochs on UCF101", "table1", UCF_HMDB, lines)


def _table2(numbers: Mapping[str, Any]) -> PaperTable:
    lines = [
        PaperRow(block.replace("_", "-"), numbers["names"][arm], _four("table2", arm, modality, values))
        for block, modality in STREAMS.items()
        for arm, values in numbers["table2"][block].items()
    ]
    return PaperTable(2, "mixing hidden representations, 500 epochs on UCF101", "table2", UCF_HMDB, lines)


UCF_ARMS = {
    "vimix": ("table2", "cmmc"),
    "coclr": ("positives-ucf101", "coclr"),
    "vimix_mining": ("positives-ucf101", "cmmc_mining"),
}
"""Recipe and arm of lines of Tables 3 and 4 with pretraining on UCF101."""
K400_ARMS = {
    "vimix": ("table3-k400", "cmmc"),
    "coclr": ("positives-k400", "coclr"),
    "vimix_mining": ("positives-k400", "cmmc_mining"),
}
"""The same with pretraining on Kinetics-400, for Table 3."""
SKELETON_ARMS = {
    "skeletonclr": ("table5", "skeletonclr", "joint + motion"),
    "skeletonclr_cmmc": ("table5", "vimix", "joint + motion"),
    "crossclr_2s": ("positives", "crossclr_2s", "joint + motion"),
    "crossclr_3s": ("positives", "crossclr_3s", "joint + motion + bone"),
    "skeletonclr_cmmc_mining": ("positives", "cmmc_mining", "joint + motion"),
}
"""Recipe (without its split), arm and streams of lines of Table 5."""


def _table3(numbers: Mapping[str, Any]) -> PaperTable:
    sources = {f"{key}_ucf101": (*arm, ("", "hmdb51")) for key, arm in UCF_ARMS.items()}
    sources |= {f"{key}_k400": (*arm, ("ucf101", "hmdb51")) for key, arm in K400_ARMS.items()}

    def ours(key: str, task: str) -> list[Source | None]:
        if key not in sources:
            return [None, None]
        recipe, arm, stores = sources[key]
        return [Source(recipe, arm, BOTH, "top-1", tested_on, task) for tested_on in stores]

    lines = [
        PaperRow(block, _method(numbers, key), [Cell(n, s) for n, s in zip(values, ours(key, task), strict=True)])
        for block, task in (("linear", "run"), ("finetune", "finetune"))
        for key, values in _with_mining(numbers["table3"][block], "vimix_mining_ucf101", "vimix_mining_k400")
    ]
    return PaperTable(3, "action classification, Vi-Mix with two streams", "table2", ("UCF101", "HMDB51"), lines)


def _with_mining(printed: Mapping[str, Sequence[float]], *added: str) -> list[tuple[str, Sequence[float]]]:
    """The printed lines, then lines of two columns that only we have."""
    return [*printed.items(), *((key, (math.nan, math.nan)) for key in added)]


def _table4(numbers: Mapping[str, Any]) -> PaperTable:
    ks = (1, 5, 10, 20)
    missing = [math.nan] * len(ks)

    def cells(key: str, values: Mapping[str, Sequence[float]]) -> list[Cell]:
        return [
            Cell(number, Source(*UCF_ARMS[key], BOTH, f"R@{k}", tested_on) if key in UCF_ARMS else None)
            for tested_on, name in (("", "ucf101"), ("hmdb51", "hmdb51"))
            for k, number in zip(ks, values.get(name, missing), strict=True)
        ]

    columns = [f"{name} R@{k}" for name in ("UCF101", "HMDB51") for k in ks]
    printed = {**numbers["table4"], "vimix_mining": {}}
    lines = [PaperRow("", _method(numbers, key), cells(key, values)) for key, values in printed.items()]
    return PaperTable(4, "retrieval, Vi-Mix with two streams, pretrained on UCF101", "table2", columns, lines)


def _table5(numbers: Mapping[str, Any]) -> PaperTable:
    def source(key: str, split: str) -> Source | None:
        if key not in SKELETON_ARMS:
            return None
        recipe, arm, streams = SKELETON_ARMS[key]
        return Source(f"{recipe}-{split}", arm, streams, "top-1")

    lines = [
        PaperRow(
            "",
            _method(numbers, key),
            [Cell(n, source(key, split)) for n, split in zip(values, ("xsub", "xview"), strict=True)],
        )
        for key, values in _with_mining(numbers["table5"], "skeletonclr_cmmc_mining")
    ]
    return PaperTable(5, "NTU-60, linear", "table5-xsub", ("xsub", "xview"), lines)


def _method(numbers: Mapping[str, Any], key: str) -> str:
    """The printed name of a key: ``CoCLR, K400`` for ``coclr_k400``."""
    method, _, data = key.rpartition("_")
    names = numbers["names"]
    return f"{names[method]}, {numbers['data'][data]}" if data in numbers["data"] else names[key]

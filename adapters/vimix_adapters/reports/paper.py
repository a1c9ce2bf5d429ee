"""The paper's Tables 1 to 5, with our numbers beside those printed there."""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from attrs import evolve, field, frozen
from rich.table import Table

from vimix_adapters.reports.markdown import markdown_table
from vimix_adapters.reports.summaries import cell as ours_text
from vimix_adapters.reports.summaries import mean_and_deviation


@frozen
class Source:
    """Where a number of ours comes from: a score of an arm of a recipe (experiments/NAME.toml)."""

    recipe: str
    arm: str
    modality: str
    score: str
    tested_on: str = ""
    """Name of another data set than the recipe's own."""
    task: str = "run"
    """``run``: in the table that ``vimix run`` leaves behind; else the task of ``vimix evaluate``."""
    protocol: str = "vimix"
    """Of the evaluation, where the task is one of ``vimix evaluate``."""


Values = Callable[[Source], Sequence[float]]
"""What was measured, 0 to 1, one value a seed; empty where there is no such run."""


@frozen
class Cell:
    """A number of the paper (per cent, NaN where it prints none), and where ours is found (None: not our method)."""

    paper: float
    source: Source | None = None


@frozen
class Line:
    """A row of a table."""

    block: str
    name: str
    cells: Sequence[Cell]


@frozen
class PaperTable:
    """One of the paper's tables."""

    number: int
    title: str
    columns: Sequence[str]
    lines: Sequence[Line]
    ours: str = "{column}, ours"
    """What our columns are called; ``{column}`` is the paper's name."""

    def from_recipe(self, recipe: str, modality: str | None = None) -> "PaperTable":
        """The table with ours read from another recipe, whose arms have the same names, on its own data set.

        Columns of further data sets and tasks are left out: that recipe has none. ``modality`` replaces that of all
        lines.
        """
        first = next(cell.source.recipe for line in self.lines for cell in line.cells if cell.source)
        kept = [n for n in range(len(self.columns)) if any(_own(line.cells[n], first) for line in self.lines)]
        lines = [
            evolve(line, cells=[_read_from(line.cells[n], first, recipe, modality) for n in kept])
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
    """A table with what was measured for each cell that is ours."""

    table: PaperTable
    ours: Sequence[Sequence[Sequence[float]]] = field()

    def texts(self) -> list[list[str]]:
        """A line each: block, name, then for each column the paper's number and ours."""
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
        """Of ``texts``."""
        ours = self.table.ours
        return [
            "",
            "",
            *(name for column in self.table.columns for name in (f"{column}, paper", ours.format(column=column))),
        ]


UCF_HMDB = ("linear UCF101", "linear HMDB51", "R@1 UCF101", "R@1 HMDB51")
HIDDEN = {
    "moco": "MoCo",
    "manifold_mixup": "+ mixup",
    "cm_mixup": "+ CM mixup",
    "cm_cutmix_s": "+ CM cutmix (s)",
    "cm_cutmix_st": "+ CM cutmix (s, t)",
    "cm_cutmix_stc": "+ CM cutmix (s, t, c)",
    "cmmc": "+ CM cutmix (s, t, c, random layer)",
}
INPUT = {
    "moco": "MoCo",
    "mixup": "+ Mixup",
    "temporal_cutmix": "+ Temporal cutmix",
    "st_cutmix": "+ ST cutmix",
    "videomix": "+ VideoMix",
}
STREAMS = {"rgb": "rgb", "flow": "flow", "two_stream": "rgb + flow"}
BOTH = "rgb + flow"


def paper_numbers() -> dict[str, Any]:
    """The paper's tables as data: per cent, by table, block and line."""
    text = resources.files("vimix_adapters.reports").joinpath("paper_tables.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def paper_table(number: int) -> PaperTable:
    """One of the paper's tables. Raises KeyError for another number than 1 to 5."""
    return {1: _table1, 2: _table2, 3: _table3, 4: _table4, 5: _table5}[number](paper_numbers())


def filled(table: PaperTable, values: Values) -> Filled:
    """The table with our numbers where there are any."""
    return Filled(
        table,
        [[list(values(cell.source)) if cell.source else [] for cell in line.cells] for line in table.lines],
    )


def markdown(found: Filled) -> str:
    """As GitHub shows it."""
    return markdown_table(found.headings, found.texts(), "llr")


def console(found: Filled) -> Table:
    """For rich's console."""
    table = Table(title=f"Table {found.table.number}: {found.table.title}", caption="per cent; ours: mean ± deviation")
    for number, heading in enumerate(found.headings):
        table.add_column(heading.replace(", ", "\n"), justify="right" if number > 1 else "left")
    texts = found.texts()
    for line, following in zip(texts, [*texts[1:], None], strict=True):
        table.add_row(*line, end_section=following is not None and following[0] != line[0])
    return table


def plain(found: Filled) -> dict[str, Any]:
    """For machines: the paper's numbers per cent (None where none is printed), ours 0 to 1 by seed."""
    lines = []
    for line, measured in zip(found.table.lines, found.ours, strict=True):
        ours = [dict(zip(("mean", "deviation"), mean_and_deviation(v), strict=True)) if v else None for v in measured]
        paper = [None if math.isnan(cell.paper) else cell.paper for cell in line.cells]
        lines.append({"block": line.block, "line": line.name, "paper": paper, "ours": ours})
    return {"table": found.table.number, "columns": list(found.table.columns), "lines": lines}


def _printed(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:.1f}"


def _four(recipe: str, arm: str, modality: str, numbers: Sequence[float]) -> list[Cell]:
    """Linear and R@1 on UCF101, the recipe's own data, and on HMDB51."""
    places = (("top-1", ""), ("top-1", "hmdb51"), ("R@1", ""), ("R@1", "hmdb51"))
    return [
        Cell(number, Source(recipe, arm, modality, score, place))
        for number, (score, place) in zip(numbers, places, strict=True)
    ]


def _table1(numbers: Mapping[str, Any]) -> PaperTable:
    lines = [Line("", name, _four("table1", arm, "rgb", numbers["table1"][arm])) for arm, name in INPUT.items()]
    return PaperTable(1, "mixing in the input space, RGB, 200 epochs on UCF101", UCF_HMDB, lines)


def _table2(numbers: Mapping[str, Any]) -> PaperTable:
    lines = [
        Line(block.replace("_", "-"), name, _four("table2", arm, modality, numbers["table2"][block][arm]))
        for block, modality in STREAMS.items()
        for arm, name in HIDDEN.items()
    ]
    return PaperTable(2, "mixing hidden representations, 500 epochs on UCF101", UCF_HMDB, lines)


def _table3(numbers: Mapping[str, Any]) -> PaperTable:
    def ours(key: str, task: str) -> list[Source | None]:
        score = "top-1"
        if key == "vimix_ucf101":
            return [Source("table2", "cmmc", BOTH, score, place, task) for place in ("", "hmdb51")]
        if key == "vimix_k400":
            return [Source("table3-k400", "cmmc", BOTH, score, place, task) for place in ("ucf101", "hmdb51")]
        return [None, None]

    lines = [
        Line(block, _method(key), [Cell(n, s) for n, s in zip(values, ours(key, task), strict=True)])
        for block, task in (("linear", "run"), ("finetune", "finetune"))
        for key, values in numbers["table3"][block].items()
    ]
    return PaperTable(3, "action classification, Vi-Mix with two streams", ("UCF101", "HMDB51"), lines)


def _table4(numbers: Mapping[str, Any]) -> PaperTable:
    ks = (1, 5, 10, 20)
    missing = [math.nan] * len(ks)

    def cells(key: str, values: Mapping[str, Sequence[float]]) -> list[Cell]:
        return [
            Cell(number, Source("table2", "cmmc", BOTH, f"R@{k}", place) if key == "vimix" else None)
            for place, name in (("", "ucf101"), ("hmdb51", "hmdb51"))
            for k, number in zip(ks, values.get(name, missing), strict=True)
        ]

    columns = [f"{name} R@{k}" for name in ("UCF101", "HMDB51") for k in ks]
    lines = [Line("", _method(key), cells(key, values)) for key, values in numbers["table4"].items()]
    return PaperTable(4, "retrieval, Vi-Mix with two streams, pretrained on UCF101", columns, lines)


def _table5(numbers: Mapping[str, Any]) -> PaperTable:
    ours = {"skeletonclr": "skeletonclr", "skeletonclr_cmmc": "vimix"}

    def cells(key: str, values: Sequence[float]) -> list[Cell]:
        return [
            Cell(number, Source(f"table5-{split}", ours[key], "joint + motion", "top-1") if key in ours else None)
            for number, split in zip(values, ("xsub", "xview"), strict=True)
        ]

    lines = [Line("", _method(key), cells(key, values)) for key, values in numbers["table5"].items()]
    return PaperTable(5, "NTU-60, linear", ("xsub", "xview"), lines)


NAMES = {
    "vimix": "Vi-Mix",
    "coclr": "CoCLR",
    "memdpc": "MemDPC",
    "videomoco": "VideoMoCo",
    "cvrl": "CVRL",
    "opn": "OPN",
    "vcop": "VCOP",
    "xdc": "XDC",
    "avts": "AVTS",
    "gdt": "GDT",
    "cbt": "CBT",
    "milnce": "MIL-NCE",
    "elo": "ELO",
    "brave": "BraVe",
    "supervised_imagenet": "supervised, ImageNet +",
    "jigsaw": "Jigsaw",
    "rl_method": "RL-method",
    "vcp": "VCP",
    "speednet": "SpeedNet",
    "longtgan": "LongTGAN",
    "ms2l": "MS2L",
    "as_cal": "AS-CAL",
    "p_and_c": "P&C",
    "sebirenet": "SeBiReNet",
    "crossclr_2s": "CrosSCLR, joint + motion",
    "crossclr_3s": "CrosSCLR, joint + motion + bone",
    "skeletonclr": "SkeletonCLR, joint + motion",
    "skeletonclr_cmmc": "SkeletonCLR + CMMC, joint + motion",
}
DATA = {"ucf101": "UCF101", "k400": "K400", "k600": "K600", "htm": "HTM", "youtube8m": "YouTube8M"}
"""What a method of Tables 3 and 4 was pretrained on."""


def _method(key: str) -> str:
    """``coclr_k400`` is ``CoCLR, K400``."""
    method, _, data = key.rpartition("_")
    return f"{NAMES[method]}, {DATA[data]}" if data in DATA else NAMES[key]

"""The metrics that each stage of a run ended with, over seeds: a table and plain data."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from attrs import frozen
from rich.table import Table

from vimix_adapters.reports.console import text_table
from vimix_adapters.reports.summaries import mean_and_deviation

FORMAT = "vimix-stages-1"
TAIL = 0.1
"""Share of a stage's last rows over which a quantity that changes with training is averaged."""

MetricsRow = Mapping[str, float]


def mean_at_end(values: Sequence[float]) -> float:
    """Return the mean over the last tenth of a stage's rows."""
    return float(np.mean(values[-max(1, round(TAIL * len(values))) :]))


@frozen
class Quantity:
    """A column of the table."""

    name: str
    """Name of the quantity in ``metrics.jsonl``."""
    heading: str
    form: str
    """Format specification of a value."""
    reduce: Callable[[Sequence[float]], float]
    """Function from the values of a stage, in order, to the number that is reported."""


QUANTITIES: Sequence[Quantity] = (
    Quantity("loss", "loss", ".2f", mean_at_end),
    Quantity("pretext_accuracy", "pretext accuracy", ".1%", mean_at_end),
    # share of its own map or clip in a mixed query
    Quantity("weight", "own share", ".2f", lambda values: float(np.mean(values))),
    Quantity("effective_rank", "effective rank", ".1f", mean_at_end),
    Quantity("positives", "positives found", ".1f", mean_at_end),  # besides the own key
    Quantity("positives_own_class", "of own class", ".1%", mean_at_end),
    Quantity("knn_accuracy", "kNN accuracy", ".1%", itemgetter(-1)),
    Quantity("bad_steps", "bad steps", ".0f", itemgetter(-1)),  # counted through the stage
)


@frozen(eq=False)
class StageLine:
    """One stage of one arm."""

    arm: str
    """Title of the arm."""
    stage: str
    """Name of the stage's folder, such as ``3-cmmc-rgb-from-flow``."""
    epochs: int
    """Number of epochs in the plan."""
    reached: Mapping[int, int]
    """Number of epochs begun, by seed."""
    values: Mapping[str, Mapping[int, float]]
    """Reported numbers by quantity and seed, without those that were not measured."""

    @property
    def progress(self) -> str:
        """``180``, or ``96 of 180`` if the slowest seed has begun 96 epochs."""
        least = min(self.reached.values())
        return str(self.epochs) if least >= self.epochs else f"{least} of {self.epochs}"


def stage_line(arm: str, stage: str, epochs: int, rows: Mapping[int, Sequence[MetricsRow]]) -> StageLine:
    """Return the line of a stage from its rows of metrics, in order, by seed."""
    found = {seed: _reduced(of_seed) for seed, of_seed in rows.items()}
    values = {q.name: {seed: one[q.name] for seed, one in found.items() if q.name in one} for q in QUANTITIES}
    reached = {seed: int(max((row["epoch"] for row in of_seed), default=-1)) + 1 for seed, of_seed in rows.items()}
    return StageLine(arm, stage, epochs, reached, {name: by_seed for name, by_seed in values.items() if by_seed})


def stages_table(lines: Sequence[StageLine], seeds: Sequence[int]) -> Table:
    """Return a table for the console: mean ± deviation over the seeds, with one section per arm."""
    title = f"Stages, {'seeds' if seeds[1:] else 'seed'} {', '.join(map(str, seeds))}"
    caption = f"own share: mean over the stage; kNN accuracy, bad steps: at its end; else: mean of its last {TAIL:.0%}"
    shown = [quantity for quantity in QUANTITIES if any(quantity.name in line.values for line in lines)]
    rows = [
        [
            line.arm,
            line.stage,
            line.progress,
            *(_cell([*line.values.get(quantity.name, {}).values()], quantity.form) for quantity in shown),
        ]
        for line in lines
    ]
    headings = ["arm", "stage", "epochs", *(quantity.heading for quantity in shown)]
    return text_table(headings, rows, "llr", title, caption, sections=[line.arm for line in lines])


def plain(lines: Sequence[StageLine], recipe: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the lines as plain data: one value per seed in the order of ``seeds``, None if there is none."""
    rows = [
        {
            "arm": line.arm,
            "stage": line.stage,
            "epochs": line.epochs,
            "reached": [line.reached.get(seed, 0) for seed in seeds],
            "values": {name: [by_seed.get(seed) for seed in seeds] for name, by_seed in line.values.items()},
        }
        for line in lines
    ]
    return {"format": FORMAT, "recipe": recipe, "seeds": list(seeds), "stages": rows}


def _reduced(rows: Sequence[MetricsRow]) -> dict[str, float]:
    """The reported number of each quantity that some row has."""
    columns = {quantity: [found for row in rows for found in _measured(row, quantity.name)] for quantity in QUANTITIES}
    return {quantity.name: quantity.reduce(values) for quantity, values in columns.items() if values}


def _measured(row: MetricsRow, name: str) -> Sequence[float]:
    """The quantity, or the mean over the modalities that a joint stage measured it for; empty without either."""
    if name in row:
        return [row[name]]
    of_modalities = [value for key, value in row.items() if key.endswith(f"/{name}")]
    return [float(np.mean(of_modalities))] if of_modalities else []


def _cell(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    mean, deviation = mean_and_deviation(values)
    return f"{mean:{form}}" if deviation is None else f"{mean:{form}} ± {deviation:{form}}"

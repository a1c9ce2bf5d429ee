"""Metrics as a progress bar."""

import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vimix_adapters.terminal import coloured_stream

PLAIN_SECONDS = 10.0
"""Seconds between two lines if stderr is no terminal."""


class ProgressMetrics:
    """Implements ``vimix.ports.metrics.MetricsSink`` on stderr: a bar on a terminal, elsewhere a line now and then.

    ``steps`` is the number of training steps of the whole stage.
    """

    def __init__(
        self, steps: int, title: str, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps, self._title, self._clock = steps, title, clock
        self._console = console or Console(file=coloured_stream(stderr=True))
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[summary]}"),
            console=self._console,
        )
        self._task = self._progress.add_task(title, total=steps, summary="")
        self._begun: tuple[float, int] | None = None
        self._printed = -PLAIN_SECONDS

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Advance to ``step`` and show its loss, pretext accuracy and clips a second."""
        if self._console.is_terminal:
            self._progress.start()
            self._progress.update(self._task, completed=step, summary=_summary(values))
        else:
            self._print(step, _summary(values))

    def rewind(self, step: int) -> None:
        """Estimate the time left from here on: the steps up to ``step`` were made by an earlier process."""
        self._begun = (self._clock(), step)

    def close(self) -> None:
        """Stop drawing; the bar stays on the screen as it is."""
        if self._progress.live.is_started:
            self._progress.stop()

    def _print(self, step: int, summary: str) -> None:
        now = self._clock()
        self._begun = self._begun or (now, step)
        if now - self._printed < PLAIN_SECONDS and step < self._steps:
            return
        self._printed = now
        begun, first = self._begun
        pace = (now - begun) / (step - first) if step > first else 0.0
        left = f", {(self._steps - step) * pace:.0f} s left" if pace else ""
        line = f"{self._title}: {step}/{self._steps} {summary}{left}"
        self._console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _summary(values: Mapping[str, float]) -> str:
    shown = {"loss": "loss {:.3f}", "pretext_accuracy": "accuracy {:.3f}", "clips_per_second": "{:.0f} clips/s"}
    return " ".join(form.format(values[name]) for name, form in shown.items() if name in values)

"""Metrics as lines of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path

from vimix.values.errors import VimixError
from vimix_adapters.files import make_folder, write_text
from vimix_adapters.reading import parse_json, read_text
from vimix_adapters.structuring import is_number


class JsonlMetrics:
    """Implements ``vimix.ports.metrics.MetricsSink``: one object a row, ``{"step": ..., name: value, ...}``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """File that the rows are appended to."""
        make_folder(path.parent)
        lines = self._lines()
        if lines and not lines[-1].endswith("\n"):  # a killed process left half a line
            write_text(path, "".join(lines[:-1]))

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row; it has been handed to the operating system when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def rewind(self, step: int) -> None:
        """Drop the rows after ``step``."""
        kept = [line for number, line in enumerate(self._lines(), start=1) if self._step(number, line) <= step]
        write_text(self.path, "".join(kept))

    def close(self) -> None:
        """Do nothing: the file is opened for each row."""

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        text = read_text(self.path, "the metrics of a stage (remove the file to go on without)")
        return text.splitlines(keepends=True)

    def _step(self, number: int, line: str) -> float:
        origin, expected = f"{self.path}, line {number}", "a row of metrics in JSON, with its step"
        row = parse_json(line, origin, f"{expected} (remove the line, or the file, to go on without)")
        if not isinstance(row, dict) or not is_number(row.get("step")):
            raise VimixError(f"{origin}: expected {expected}; remove the line, or the file, to go on without")
        return float(row["step"])

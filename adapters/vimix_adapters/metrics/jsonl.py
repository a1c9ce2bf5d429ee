"""Metrics as lines of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path

from vimix_adapters.files import make_folder, write_text


class JsonlMetrics:
    """Implements ``vimix.ports.metrics.MetricsSink``: one object a row, ``{"step": ..., name: value, ...}``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """File that the rows are appended to."""
        make_folder(path.parent)
        self._drop_torn_line()

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row; it has been handed to the operating system when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def rewind(self, step: int) -> None:
        """Drop the rows after ``step``."""
        rows = [row for row in self._lines() if json.loads(row)["step"] <= step]
        write_text(self.path, "".join(rows))

    def _drop_torn_line(self) -> None:
        """Drop the incomplete last line that a killed process may have left."""
        if self.path.exists() and self._lines() != self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            write_text(self.path, "".join(self._lines()))

    def close(self) -> None:
        """Do nothing: the file is opened for each row."""

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [line for line in lines if line.endswith("\n")]

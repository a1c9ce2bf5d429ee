"""Figures of matplotlib as PNG files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vimix_adapters.files import replacing


@contextmanager
def png_figure(path: Path, size: tuple[float, float], dpi: int = 100) -> Iterator[Any]:
    """Yield an empty ``matplotlib.figure.Figure`` of ``size`` inches, and write what was drawn as a PNG, atomically."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    yield figure
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)

"""The page as a whole: its values, its numbers as plain data, and the file."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, frozen

from vimix_adapters.files import write_text
from vimix_adapters.reports.page.catalogue import VideoCard
from vimix_adapters.reports.page.chart import chart_of
from vimix_adapters.reports.page.embedding import EmbeddingMap
from vimix_adapters.reports.page.gallery import Gallery
from vimix_adapters.reports.page.likeness import ModalityMatrix
from vimix_adapters.reports.page.mistakes import Errors
from vimix_adapters.reports.page.overview import Overview
from vimix_adapters.reports.page.training import Boundary, CurvePanel
from vimix_adapters.reports.results import write_json

FORMAT = "vimix-page-1"


@frozen(eq=False)
class Page:
    """Everything that the page shows but the clips."""

    title: str
    overview: Overview
    panels: Sequence[CurvePanel] = ()
    boundaries: Sequence[Boundary] = ()
    galleries: Sequence[Gallery] = ()
    maps: Sequence[EmbeddingMap] = ()
    errors: Sequence[Errors] = ()
    matrices: Sequence[ModalityMatrix] = ()
    videos: Sequence[VideoCard] = ()
    clips: Sequence[bytes] = field(default=(), repr=False)
    """Animated WebP pictures, by the numbers in ``videos``."""

    @property
    def arms(self) -> list[tuple[str, str]]:
        """(recipe, title) of all arms that some part of the page shows, in order."""
        named = [(curve.recipe, curve.arm) for panel in self.panels for curve in panel.curves]
        lines = [(line.recipe, line.arm) for line in self.overview.lines]
        return list(dict.fromkeys([*lines, *named]))

    @property
    def modalities(self) -> list[str]:
        """The modalities that were trained, in order."""
        return list(dict.fromkeys(curve.modality for panel in self.panels for curve in panel.curves))

    @property
    def seeds(self) -> list[int]:
        """The seeds of all runs."""
        return sorted({run.seed for run in self.overview.runs})


def plain(page: Page) -> dict[str, Any]:
    """Every number of the page as plain data."""
    return {"format": FORMAT, **asdict(evolve(page, clips=())), "clips": len(page.clips)}


def render(page: Page) -> str:
    """The page as one HTML document without any reference to another file; every name in it is escaped."""
    colours = {arm: number for number, arm in enumerate(page.arms)}
    charts = [chart_of(panel, colours, page.modalities) for panel in page.panels]
    groups: dict[str, list[Any]] = {}
    for chart in charts:
        groups.setdefault(chart.panel.quantity.group, []).append(chart)
    shown = {name: plain(page)[name] for name in ("videos", "galleries", "maps", "errors")}
    return render_template(
        "report.html",
        page=page,
        colours=colours,
        groups=groups,
        data=script_json(shown),
        clips=script_json([base64.b64encode(clip).decode() for clip in page.clips]),
    )


def write_page(page: Page, out: Path) -> None:
    """Write the page and, beside it with the suffix .json, its numbers; each atomically."""
    write_json(out.with_suffix(".json"), plain(page))
    write_text(out, render(page))


def render_template(name: str, **values: object) -> str:
    """Fill a template of this package; all values are escaped unless they are marked safe."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("vimix_adapters.reports.page")
    surroundings = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return surroundings.get_template(name).render(**values)


def script_json(value: object) -> Any:
    """JSON that is safe inside a script element: no ``<`` can end it."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))

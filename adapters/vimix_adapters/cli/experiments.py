"""``vimix experiments``: the paper's tables and figures beside our runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The paper's tables and figures, with our runs beside them.", no_args_is_help=True)

Runs = Annotated[Path | None, typer.Option(help="Folder below which runs lie.", metavar="DIR")]


class Form(StrEnum):
    """How a table is printed."""

    console = "console"
    markdown = "markdown"
    json = "json"


@app.command()
def table(
    number: Annotated[int, typer.Argument(help="1 to 5.", min=1, max=5, metavar="N")],
    runs: Runs = None,
    form: Annotated[Form, typer.Option("--format", help="console, markdown or json.")] = Form.console,
    out: Annotated[Path | None, typer.Option(help="Write it there (Markdown unless json).", metavar="FILE")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Ours from this recipe, with arms of the same names.", metavar="NAME")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="With --recipe: whose scores, in every line.")] = None,
) -> None:
    """Print the paper's numbers with ours filled in: mean ± deviation over seeds, - where there is no run."""
    from vimix.values.errors import VimixError
    from vimix_adapters.commands.paper_tables import print_table

    if modality and not recipe:
        raise VimixError("--modality replaces that of another recipe's lines: name the recipe with --recipe")
    print_table(number, runs, form.value, out, recipe, modality)


@app.command()
def figure(
    number: Annotated[int, typer.Argument(help="2 or 3.", min=2, max=3, metavar="N")],
    runs: Annotated[Path, typer.Option(help="Folder below which runs lie.", metavar="DIR")],
    out: Annotated[Path, typer.Option(help="PNG to write.", metavar="FILE.png")],
    modality: Annotated[str, typer.Option(help="Whose encoder.")] = "rgb",
    arms: Annotated[str | None, typer.Option(help="Names of arms, by commas; else the paper's, or all.")] = None,
) -> None:
    """Draw kNN accuracy (2), or loss and pretext accuracy (3), against epochs of training."""
    from vimix_adapters.commands.paper_figures import draw_figure

    draw_figure(number, runs, out, modality, arms.split(",") if arms else [])


@app.command()
def summarise(
    runs: Annotated[list[Path], typer.Argument(help="Runs of one recipe with different seeds.", metavar="RUN...")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json and results.md; else RUN itself.", metavar="DIR")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="The arm that the others are compared with; else the first.", metavar="ARM")
    ] = None,
) -> None:
    """Mean ± deviation over seeds, and paired differences between arms with 95 % confidence intervals."""
    from vimix_adapters.commands.paper_tables import summarise

    summarise(runs, out, against)


@app.command()
def stages(
    runs: Annotated[list[Path], typer.Argument(help="Runs of one recipe with different seeds.", metavar="RUN...")],
    out: Annotated[Path | None, typer.Option(help="Write it there as JSON, too.", metavar="FILE.json")] = None,
) -> None:
    """What each stage came to in training: loss, pretext accuracy, the share that mixing leaves a query, bad steps."""
    from vimix_adapters.commands.paper_figures import show_stages

    show_stages(runs, out)

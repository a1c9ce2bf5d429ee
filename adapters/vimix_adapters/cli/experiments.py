"""``vimix experiments``: the paper's tables and figures, compared with our runs."""

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from vimix_adapters.cli.options import Force

app = typer.Typer(help="Compare runs with the paper's tables and figures, and over seeds.", no_args_is_help=True)

Runs = Annotated[
    list[Path], typer.Argument(help="Folders of runs of one recipe with different seeds.", metavar="RUN...")
]
Encoder = Literal["s3d", "stgcn"]
Form = Literal["console", "markdown", "json"]
Figure = Literal["2", "3", "mixing"]


@app.command()
def table(
    number: Annotated[int, typer.Argument(help="Number of the table, 1 to 5.", min=1, max=5, metavar="N")],
    runs: Annotated[Path | None, typer.Option(help="Folder with our runs.", metavar="DIR")] = None,
    form: Annotated[Form, typer.Option("--format", help="Format of the table.")] = "console",
    out: Annotated[
        Path | None, typer.Option(help="File to write instead of printing (Markdown, or JSON).", metavar="FILE")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Take our numbers from the runs of this recipe.", metavar="NAME")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="With --recipe: use the scores of this modality.")] = None,
    force: Force = False,
) -> None:
    """Print a table of the paper beside our numbers: mean ± deviation over seeds, - where there is no run."""
    from vimix_adapters.commands.paper_tables import print_table

    print_table(number, runs, form, out, recipe, modality, force)


@app.command()
def figure(
    name: Annotated[Figure, typer.Argument(help="Figure of the paper, 2 or 3; or mixing.")],
    runs: Annotated[Path, typer.Option(help="Folder with our runs.", metavar="DIR")],
    out: Annotated[Path, typer.Option(help="Picture to write; its numbers go to FILE.json.", metavar="FILE.png")],
    modality: Annotated[str, typer.Option(help="Modality of the encoder.")] = "rgb",
    arms: Annotated[
        str | None, typer.Option(help="Arms to draw, separated by commas; by default the paper's, or all.")
    ] = None,
    force: Force = False,
) -> None:
    """Draw kNN accuracy (2), loss and pretext accuracy (3), or what mixing does to the encoder, over training.

    The figure "mixing" has pretext accuracy, alignment, uniformity, effective rank, and the distance of the query
    encoder's BatchNorm statistics from the key encoder's.
    """
    from vimix_adapters.commands.paper_figures import draw_figure

    draw_figure(name, runs, out, modality, arms.split(",") if arms else [], force)


@app.command()
def summarise(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs of one recipe with different seeds, or earlier results.json of several.",
            metavar="RUN...",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.json and results.md; by default RUN.", metavar="DIR")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="Arm to compare the others with; by default the first.", metavar="ARM")
    ] = None,
    force: Force = False,
) -> None:
    """Write mean ± deviation over seeds, and paired differences between arms with 95 % confidence intervals."""
    from vimix_adapters.commands.paper_tables import summarise

    summarise(runs, out, against, force)


@app.command()
def recorded(
    summary: Annotated[
        Path, typer.Argument(help="File results.json that vimix experiments summarise wrote.", metavar="FILE")
    ],
    arms: Annotated[str | None, typer.Option(help="Keys of the arms to show, separated by commas.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Run of the same recipe; its scores are printed beside the differences.", metavar="RUN"),
    ] = None,
) -> None:
    """Print the differences between arms of a recorded summary whose 95 % interval does not contain 0.

    With --run, print the scores of that run and, beside them, all recorded differences. A * marks a difference whose
    interval does not contain 0.
    """
    from vimix_adapters.reports.recorded import decided_markdown, marked_markdown, read_record
    from vimix_adapters.reports.summaries import read_run

    record, chosen = read_record(summary), arms.split(",") if arms else []
    print(marked_markdown(record, read_run(run), chosen) if run else decided_markdown(record, chosen), end="")


@app.command()
def stages(
    runs: Runs,
    out: Annotated[Path | None, typer.Option(help="JSON file to write too.", metavar="FILE.json")] = None,
    force: Force = False,
) -> None:
    """Print each stage's last loss, pretext and kNN accuracy, share of the query's own map or clip, and bad steps."""
    from vimix_adapters.commands.paper_figures import show_stages

    show_stages(runs, out, force)


@app.command()
def weights(
    encoder: Annotated[Encoder | None, typer.Option(help="One encoder; by default both.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write too.", metavar="FILE.json")] = None,
    force: Force = False,
) -> None:
    """Print the mean share of a query's own map that the tesseract leaves, by stages, extent, dims and layers."""
    from vimix_adapters.commands.mix_weights import show_weights

    show_weights([encoder] if encoder else get_args(Encoder), out, force)

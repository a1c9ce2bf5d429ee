"""``vimix synth``: make the synthetic data set."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import worker_count


def synth(
    out: Annotated[
        Path, typer.Argument(help="Folder to write; an unfinished one with the same settings is completed.")
    ],
    classes: Annotated[int, typer.Option(help="Number of actions, at most 16.")] = 10,
    videos_per_class: Annotated[int, typer.Option(help="Number of videos of each action.")] = 40,
    train_per_class: Annotated[
        int | None, typer.Option(help="Largest number of training videos of each action; by default all.")
    ] = None,
    performers: Annotated[
        int, typer.Option(help="Number of performers; about 30 % of them appear in the test list only.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same videos.")] = 0,
    width: Annotated[int, typer.Option(help="Width of the videos in pixels, an even number.")] = 96,
    height: Annotated[int, typer.Option(help="Height of the videos in pixels, an even number.")] = 96,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; by default one for each core, at most 8.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a synthetic data set that has other settings.")
    ] = False,
) -> None:
    """Write a small data set to try vimix on: videos and skeletons of figures that wave, clap, jump, ..."""
    from vimix_adapters.prepare.progress import progress_bar
    from vimix_adapters.reports.console import plain_console
    from vimix_adapters.synth.dataset import write_dataset
    from vimix_adapters.synth.synth_settings import SynthSettings

    settings = SynthSettings(
        classes, videos_per_class, performers, seed, width, height, train_per_class=train_per_class
    )
    with progress_bar("synth", "videos", plain_console(stderr=True)) as show:
        written = write_dataset(out, settings, workers or min(8, worker_count(0)), show, force)
    print(f"{out}: {written.train} training and {written.test} test videos of {classes} classes ({written.made} new)")

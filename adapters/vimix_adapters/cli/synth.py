"""``vimix synth``: the embedded data set."""

import os
from pathlib import Path
from typing import Annotated

import typer


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to make, or to finish where the settings are the same.")],
    classes: Annotated[int, typer.Option(help="Number of actions, at most 16.")] = 10,
    videos_per_class: Annotated[int, typer.Option(help="Videos of each action.")] = 40,
    performers: Annotated[int, typer.Option(help="People; about 30 % are in the test list only.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same videos.")] = 0,
    width: Annotated[int, typer.Option(help="Pixels, even.")] = 96,
    height: Annotated[int, typer.Option(help="Pixels, even.")] = 96,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default one a core, 8 at most.")] = None,
) -> None:
    """Write videos and skeletons of figures that wave, clap, jump, ...: a data set to try everything on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn

    from vimix_adapters.reports.console import plain_console
    from vimix_adapters.synth.dataset import write_dataset
    from vimix_adapters.synth.settings import SynthSettings

    class Rate(TextColumn):
        def render(self, task: Task):  # type: ignore[no-untyped-def]
            self.text_format = f"{task.speed or 0.0:.1f} videos/s"
            return super().render(task)

    def show(done: int, total: int) -> None:
        if not progress.tasks:  # what an earlier call made does not count into the rate
            progress.add_task("synth", total=total, completed=done)
        progress.update(progress.task_ids[0], completed=done)

    settings = SynthSettings(classes, videos_per_class, performers, seed, width, height)
    columns = (TextColumn("synth"), BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn())
    with Progress(*columns, console=plain_console(stderr=True)) as progress:
        written = write_dataset(out, settings, workers or min(8, os.cpu_count() or 1), show)
    print(f"{out}: {written.train} training and {written.test} test videos of {classes} classes ({written.made} new)")

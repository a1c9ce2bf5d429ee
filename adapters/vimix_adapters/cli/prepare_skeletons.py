"""``vimix prepare ntu60 | ntu120 | skeletons``: stores of skeletons."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vimix_adapters.datasets.skeleton_files import SkeletonListing


class Denoise(StrEnum):
    """Which bodies are the persons."""

    none = "none"
    energy = "energy"
    pyskl = "pyskl"


class Align(StrEnum):
    """What is turned to the front."""

    none = "none"
    shoulders = "shoulders"


Out = Annotated[Path, typer.Option(help="Store to write.", metavar="STORE.h5")]
Skeletons = Annotated[Path, typer.Option(help="Folder with the .skeleton files.", metavar="DIR")]
Missing = Annotated[
    Path | None, typer.Option(help="List of samples to leave out instead of the authors'.", metavar="FILE")
]
Frames = Annotated[int, typer.Option(help="To which every sequence is resized.", min=2)]
Persons = Annotated[int, typer.Option(help="At most, in a sequence.", min=1)]
DenoiseBy = Annotated[
    Denoise,
    typer.Option(help="none: the first in the file (CrosSCLR); energy: who moves most; pyskl: its rules."),
]
AlignBy = Annotated[Align, typer.Option(help="shoulders: each frame is turned about the vertical (CrosSCLR).")]
Workers = Annotated[int, typer.Option(help="Processes; 0 takes all cores.", min=0)]
Partial = Annotated[bool, typer.Option("--allow-partial", help="Store what there is of an incomplete data set.")]


def ntu60(
    skeletons: Skeletons,
    out: Out,
    missing: Missing = None,
    denoise: DenoiseBy = Denoise.none,
    align: AlignBy = Align.shoulders,
    frames: Frames = 50,
    persons: Persons = 2,
    workers: Workers = 0,
    allow_partial: Partial = False,
) -> None:
    """NTU RGB+D 60: skeletons with the splits xsub-train, xsub-test, xview-train and xview-test."""
    from vimix_adapters.datasets.skeleton_files import list_ntu

    listing = list_ntu(skeletons, 60, missing)
    _require_complete(listing, 60, allow_partial)
    _store(listing, out, "ntu", frames, persons, denoise, align, workers, edition=60)


def ntu120(
    skeletons: Skeletons,
    out: Out,
    missing: Missing = None,
    denoise: DenoiseBy = Denoise.none,
    align: AlignBy = Align.shoulders,
    frames: Frames = 50,
    persons: Persons = 2,
    workers: Workers = 0,
    allow_partial: Partial = False,
) -> None:
    """NTU RGB+D 120: skeletons with the splits xsub-train, xsub-test, xset-train and xset-test."""
    from vimix_adapters.datasets.skeleton_files import list_ntu

    listing = list_ntu(skeletons, 120, missing)
    _require_complete(listing, 120, allow_partial)
    _store(listing, out, "ntu", frames, persons, denoise, align, workers, edition=120)


def skeletons(
    folder: Annotated[Path, typer.Argument(help="Folder with .skeleton or .txt files.", metavar="DIR")],
    out: Out,
    layout: Annotated[str, typer.Option(help="ntu, kinect-v1, kinect-v1-sdk, or a TOML file of your own.")] = "ntu",
    split: Annotated[
        Path | None,
        typer.Option(
            help="CSV: path,label,split[,source]; a path may be the video's of the same name.", metavar="FILE"
        ),
    ] = None,
    denoise: DenoiseBy = Denoise.none,
    align: AlignBy = Align.shoulders,
    frames: Frames = 50,
    persons: Annotated[int, typer.Option(help="At most, in a sequence; 0: 2, in .txt files 1.", min=0)] = 0,
    workers: Workers = 0,
) -> None:
    """Skeleton files of any layout; classes from --split, or from the names of NTU RGB+D or MSRAction3D."""
    from vimix_adapters.datasets.skeleton_files import list_skeletons

    listing = list_skeletons(folder, split)
    alone = all(file.path.suffix == ".txt" for file in listing.files)
    _store(listing, out, layout, frames, persons or (1 if alone else 2), denoise, align, workers)


def _require_complete(listing: "SkeletonListing", edition: int, allow_partial: bool) -> None:
    """Print what was found against the official totals; exit code 3 if samples are missing, before any is read."""
    from rich.table import Table

    from vimix_adapters.datasets.ntu import OFFICIAL
    from vimix_adapters.reports.console import show_table

    table, missing = Table(title=f"NTU RGB+D {edition}: {len(listing.files)} samples"), 0
    for heading in ("split", "official", "found", "missing"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split, official in OFFICIAL[edition].items():
        found = sum(split in file.splits for file in listing.files)
        missing += max(0, official - found)
        table.add_row(split, str(official), str(found), str(max(0, official - found)))
    show_table(table)
    if missing and not allow_partial:
        print(
            "the data set is incomplete: nothing was stored; add the files, or --allow-partial to store what there is"
        )
        raise typer.Exit(3)


def _store(
    listing: "SkeletonListing",
    out: Path,
    layout: str,
    frames: int,
    persons: int,
    denoise: Denoise,
    align: Align,
    workers: int,
    edition: int = 0,
) -> None:
    from rich.console import Console

    from vimix_adapters.config.store_settings import SkeletonSettings
    from vimix_adapters.datasets.ntu import OFFICIAL
    from vimix_adapters.prepare.skeleton_store import prepare_skeletons, split_counts
    from vimix_adapters.prepare.video_store import quarantine_file
    from vimix_adapters.skeletons.layouts import find_layout

    settings = SkeletonSettings(find_layout(layout), frames, persons, denoise.value, align.value)
    report = prepare_skeletons(listing, out, settings, workers or os.cpu_count() or 1, Console(stderr=True))
    print(f"stored {report.stored} of {report.listed} sequences in {out}")
    official = OFFICIAL.get(edition, {})
    for split, count in split_counts(out).items():
        print(f"  {split}: {count}" + (f" of {official[split]}" if split in official else ""))
    quarantine = quarantine_file(out)
    if listing.excluded:
        print(f"{len(listing.excluded)} have a missing or incomplete skeleton by the authors' list: see {quarantine}")
    if report.failures:
        print(f"left out {len(report.failures)}, listed with reasons in {quarantine}")
        for name, reason in report.failures[:10]:
            print(f"  {name}: {reason}")
    if not report.enough:
        raise typer.Exit(3)

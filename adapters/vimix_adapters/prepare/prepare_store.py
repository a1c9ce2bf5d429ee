"""``vimix prepare``: store a data set, and report what was found, stored and left out in each split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen
from rich.console import Console
from rich.table import Table

from vimix.values.errors import VimixError
from vimix_adapters.clips.hdf5_writer import FileTiming
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings
from vimix_adapters.datasets.listing import Listing, SplitCount, split_counts
from vimix_adapters.files import sweep
from vimix_adapters.locks import locked_file
from vimix_adapters.prepare.build_store import DiskUse, StoreBuilder, build_store
from vimix_adapters.prepare.engines import Engine
from vimix_adapters.prepare.frame_rates import rates_data, rates_lines
from vimix_adapters.prepare.quarantine import LeftOut, quarantine_file
from vimix_adapters.reading import read_json
from vimix_adapters.reports.results import write_json

FORMAT = "vimix-prepare-report-1"
ENOUGH = 0.95
"""Share of the files that must be stored for the command to succeed."""
INCOMPLETE = 3
"""Exit code of an incomplete data set, or one with too many unreadable files."""
SHOWN = 10
"""Number of missing or unreadable files that are printed; the report lists all."""


@frozen
class PrepareOptions:
    """Options that all ``vimix prepare`` commands have."""

    builder: StoreBuilder
    engine: Engine
    force: bool = False
    """Whether to replace an existing store."""
    dry_run: bool = False
    """Whether to list files only, and read none."""
    allow_partial: bool = False
    """Whether to store what there is of an incomplete published data set."""
    retry: bool = False
    """Whether to try all files again that an earlier call left out."""


@frozen
class Report:
    """Report on a data set: the files that were found, stored and left out."""

    listing: Listing
    store: Path
    unit: str
    """Name of the files in messages: ``videos``."""
    counts: tuple[SplitCount, ...]
    unreadable: Mapping[str, str] | None = None
    """Reason of each file that cannot be read, by name; None if no file was read."""
    passing: tuple[LeftOut, ...] = ()
    """Files that could not be read for a reason outside the files."""
    written: bool = False
    """Whether the store exists now."""
    rates: Mapping[str, Any] | None = None
    """Frame rates that were found, as in the JSON report; None if no video was read by this call."""
    disk_use: DiskUse | None = None
    """Estimated size of the store, of a dry run."""
    lines: tuple[str, ...] = ()
    """Sentences about the frame rates."""
    advice: tuple[str, ...] = ()
    """Sentences that say what to do."""
    exit_code: int = 0

    @property
    def complete(self) -> bool:
        """Whether all official or listed files were found, and could be read if they were read."""
        return all(count.missing == 0 and not count.unreadable for count in self.counts)

    @property
    def stored(self) -> int:
        """Number of files that can be stored, as far as is known."""
        return len(self.listing.files) - len(self.unreadable or {})


def report_file(store: Path) -> Path:
    """Return the JSON file with the report of a store."""
    return store.with_name(f"{store.stem}.report.json")


def prepare_store(listing: Listing, store: Path, options: PrepareOptions, console: Console) -> Report:
    """Store the files of a data set and write the report to ``STORE.report.json``.

    An incomplete published data set is refused with exit code 3 unless ``allow_partial``: before any file is read if
    some are missing, after reading if some cannot be read; the parts are kept. Exit code 3 also means that
    less than 95 % were stored, or that files could not be read for a reason outside the files. Raises what
    ``build_store`` raises, and VimixError if another process prepares the same store.
    """
    with locked_file(store, "writing a store"):
        sweep(report_file(store))
        return _prepared(listing, store, options, console)


def _prepared(listing: Listing, store: Path, options: PrepareOptions, console: Console) -> Report:
    all_needed = listing.official and not options.allow_partial
    report = Report(listing, store, options.builder.unit, tuple(split_counts(listing, None)))
    if not options.dry_run and (report.complete or not all_needed):
        result = build_store(
            listing,
            store,
            options.builder,
            options.engine,
            console,
            force=options.force,
            all_needed=all_needed,
            retry=options.retry,
        )
        listed = {file.name for file in listing.files}
        failures = [row for row in result.failures if row.name in listed]
        unreadable, passing = {row.name: row.reason for row in failures}, tuple(row for row in failures if row.passing)
        counts = tuple(split_counts(listing, unreadable))
        report = evolve(report, counts=counts, unreadable=unreadable, passing=passing, written=result.written)
        report = _with_rates(report, result.timings, options.builder.settings)
    if options.dry_run:
        report = evolve(report, disk_use=options.builder.disk_use(listing.files))
    report = _advised(report, all_needed, options.dry_run)
    write_json(report_file(store), report_data(report))
    return report


def report_data(report: Report) -> dict[str, Any]:
    """Return the report as plain data."""
    listing = report.listing
    return {
        "format": FORMAT,
        "dataset": listing.dataset,
        "store": report.store.name if report.written else None,
        "complete": report.complete,
        "decoded": report.unreadable is not None,
        "classes": len(listing.classes),
        "splits": {count.split: asdict(count) for count in report.counts},
        "missing": {name: list(splits) for name, splits in sorted(listing.missing.items())},
        "unreadable": dict(report.unreadable or {}),
        "left_out": dict([*listing.left_out, *listing.excluded]),
        "rates": report.rates,
        "estimated_bytes": report.disk_use.size if report.disk_use else None,
        "notes": list(listing.notes),
        "advice": list(report.advice),
    }


def report_table(report: Report) -> Table:
    """Return the numbers of all splits as a table."""
    listing = report.listing
    table = Table(title=f"{listing.dataset}: {len(listing.files)} {report.unit}, {len(listing.classes)} classes")
    table.add_column("split")
    for heading in ("official", "listed", "found", "missing", "unreadable"):
        table.add_column(heading, justify="right")
    for count in report.counts:
        numbers = (count.official, count.listed, count.found, count.missing, count.unreadable)
        table.add_row(count.split, *("-" if number is None else f"{number:,}" for number in numbers))
    return table


def report_lines(report: Report) -> list[str]:
    """Return what to print below the table: what was stored, the first files that were not, notes and advice."""
    listing = report.listing
    lines = [f"stored {report.stored} of {listing.count} {report.unit} in {report.store}"] if report.written else []
    lines += [f"missing: {name}" for name in list(listing.missing)[:SHOWN]]
    failures = [*(report.unreadable or {}).items(), *listing.left_out]
    lines += [f"{name}: {reason}" for name, reason in failures[:SHOWN]]
    if listing.excluded:
        lines.append(f"{len(listing.excluded)} {report.unit} left out: {listing.excluded[0][1]}")
    if use := report.disk_use:
        lines.append(f"the store will take about {_size(use.size)} (estimated from {use.files} {report.unit})")
    return [*lines, *report.lines, *listing.notes, *report.advice, f"report: {report_file(report.store)}"]


def _advised(report: Report, all_needed: bool, dry_run: bool) -> Report:
    """Add the exit code, and advice on what to do."""
    listing, advice, code = report.listing, [], 0
    if report.unreadable or (report.written and (listing.left_out or listing.excluded)):
        advice.append(f"files that were left out, with reasons: {quarantine_file(report.store)}")
    if all_needed and not report.complete:
        code = INCOMPLETE
        kept = "; what was packed is kept" if report.unreadable else ""
        state = f"so is {report.store}" if report.written else f"no store was written{kept}"
        advice.append(
            f"{listing.dataset} is incomplete, {state}: add the files named in {report_file(report.store)} and call "
            "this again, or store what there is with --allow-partial"
        )
    elif report.stored < ENOUGH * (listing.count - (len(listing.missing) if listing.official else 0)):
        code = INCOMPLETE
        advice.append(f"less than {ENOUGH:.0%} of the {report.unit} were {'found' if dry_run else 'stored'}")
    if report.passing:
        code, first = INCOMPLETE, report.passing[0]
        advice.append(
            f"{len(report.passing)} {report.unit} could not be read for a reason outside the files (the first: "
            f"{first.name}: {first.reason}): remove the cause and call the command again; it tries these files again"
        )
    if dry_run:
        advice.append("dry run: nothing was stored")
    return evolve(report, advice=tuple(advice), exit_code=code)


def _with_rates(report: Report, timings: Sequence[FileTiming], settings: PackSettings | SkeletonSettings) -> Report:
    """Add the frame rates; those of a store that was complete before are in the report that it has."""
    if isinstance(settings, SkeletonSettings):
        return report
    if not timings:
        return evolve(report, rates=_earlier(report_file(report.store)).get("rates"))
    lines = tuple(rates_lines(timings, settings.rate))
    return evolve(report, rates=rates_data(timings, settings.rate), lines=lines)


def _earlier(path: Path) -> dict[str, Any]:
    try:
        report = read_json(path, "a report")
    except VimixError:
        return {}
    return report if isinstance(report, dict) else {}


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"

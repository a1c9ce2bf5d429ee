"""``vimix prepare DATASET``: a data set's listing to a store, with an account of what is there by split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen
from rich.console import Console
from rich.table import Table

from vimix.values.errors import VimixError
from vimix_adapters.config.store_settings import PackSettings
from vimix_adapters.datasets.listing import Listing, SplitCount, split_counts
from vimix_adapters.prepare.video_store import ENOUGH, prepare, quarantine_file
from vimix_adapters.reports.results import write_json

FORMAT = "vimix-prepare-report-1"
INCOMPLETE = 3
"""Exit code."""
SHOWN = 10
"""Names printed of those that are missing or unreadable; the report has all."""


@frozen
class Packing:
    """What all ``prepare`` commands are asked."""

    settings: PackSettings
    workers: int
    seconds: float
    """That a file may take."""
    dry_run: bool = False


@frozen
class Account:
    """What became of a data set."""

    listing: Listing
    store: Path
    counts: tuple[SplitCount, ...]
    unreadable: Mapping[str, str] | None
    """Reasons by name; None if nothing was decoded."""
    written: bool
    advice: tuple[str, ...] = field(default=())
    exit_code: int = 0

    @property
    def complete(self) -> bool:
        """Whether every official or listed video was found, and read if any was."""
        return all(count.missing == 0 and not count.unreadable for count in self.counts)


def report_file(store: Path) -> Path:
    """Where the account is written as JSON."""
    return store.with_name(f"{store.stem}.report.json")


def collect(listing: Listing, store: Path, packing: Packing, console: Console, allow_partial: bool = False) -> Account:
    """Pack what is there of a data set, and account for the rest in ``STORE.report.json``.

    A published data set that is incomplete is refused with exit code 3 unless ``allow_partial``: at once if files are
    missing, after decoding if some cannot be read; the parts are kept. Of own data 95 % must be stored. Raises
    VimixError if no video at all was found or could be read.
    """
    partial = allow_partial or not listing.official
    account = _account(listing, store, None, written=False)
    if packing.dry_run or (not partial and not account.complete):
        account = _advised(account, partial, packing.dry_run)
    elif not listing.videos:
        raise VimixError(
            f"no video of {listing.dataset} was found: check the folder; missing is {_first(listing.missing)}"
        )
    else:
        packed = prepare(
            listing.videos,
            store,
            packing.settings,
            packing.workers,
            packing.seconds,
            console,
            classes=listing.classes,
            partial_allowed=partial,
        )
        account = _advised(_account(listing, store, dict(packed.failures), packed.written), partial, False)
    write_json(report_file(store), as_data(account))
    return account


def as_data(account: Account) -> dict[str, Any]:
    """The account as plain data."""
    listing = account.listing
    return {
        "format": FORMAT,
        "dataset": listing.dataset,
        "store": account.store.name if account.written else None,
        "complete": account.complete,
        "decoded": account.unreadable is not None,
        "classes": len(listing.classes),
        "splits": {count.split: asdict(count) for count in account.counts},
        "missing": {name: list(splits) for name, splits in sorted(listing.missing.items())},
        "unreadable": dict(account.unreadable or {}),
        "notes": list(listing.notes),
        "advice": list(account.advice),
    }


def account_table(account: Account) -> Table:
    """The account for people."""
    title = f"{account.listing.dataset}: {len(account.listing.videos)} videos, {len(account.listing.classes)} classes"
    table = Table(title=title)
    table.add_column("split")
    for heading in ("official", "listed", "found", "missing", "unreadable"):
        table.add_column(heading, justify="right")
    for count in account.counts:
        numbers = (count.official, count.listed, count.found, count.missing, count.unreadable)
        table.add_row(count.split, *("-" if number is None else f"{number:,}" for number in numbers))
    return table


def left_out(account: Account) -> list[str]:
    """The first names that are missing or unreadable, one line each."""
    lines = [f"missing: {name}" for name in list(account.listing.missing)[:SHOWN]]
    return lines + [f"{name}: {reason}" for name, reason in list((account.unreadable or {}).items())[:SHOWN]]


def _account(listing: Listing, store: Path, unreadable: Mapping[str, str] | None, written: bool) -> Account:
    names = None if unreadable is None else unreadable.keys()
    return Account(listing, store, tuple(split_counts(listing, names)), unreadable, written)


def _advised(account: Account, partial: bool, dry_run: bool) -> Account:
    """With an exit code, and what to do."""
    unreadable, listing = account.unreadable or {}, account.listing
    wanted = len(listing.videos) + len(listing.missing)
    advice: list[str] = []
    code = 0
    if unreadable:
        advice.append(f"unreadable files and their reasons: {quarantine_file(account.store)}")
    if not account.complete and not partial:
        code = INCOMPLETE
        kept = "; what was packed is kept" if unreadable else ""
        state = f"so is {account.store}" if account.written else f"no store was written{kept}"
        advice.append(
            f"{listing.dataset} is incomplete, {state}: add the files named in "
            f"{report_file(account.store)} and call this again, or take what there is with --allow-partial"
        )
    elif not listing.official and len(listing.videos) - len(unreadable) < ENOUGH * wanted:
        code = INCOMPLETE
        advice.append(f"less than {ENOUGH:.0%} of the videos were {'found' if dry_run else 'stored'}")
    if dry_run:
        advice.append("dry run: nothing was decoded")
    return Account(listing, account.store, account.counts, account.unreadable, account.written, tuple(advice), code)


def _first(missing: Mapping[str, tuple[str, ...]]) -> str:
    return f"{next(iter(missing), 'nothing')}{', ...' if len(missing) > 1 else ''}"

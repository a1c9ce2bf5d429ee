"""``vimix prepare``: store a data set, and report what was found, stored and left out in each split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen
from rich.console import Console
from rich.table import Table

from vimix_adapters.datasets.listing import Listing, SplitCount, split_counts
from vimix_adapters.prepare.build_store import StoreBuilder, build_store, quarantine_file
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
    workers: int
    force: bool = False
    """Whether to replace an existing store."""
    dry_run: bool = False
    """Whether to list files only, and read none."""
    allow_partial: bool = False
    """Whether to store what there is of an incomplete published data set."""


@frozen
class Account:
    """What was found, stored and left out of a data set."""

    listing: Listing
    store: Path
    unit: str
    """Name of the files in messages: ``videos``."""
    counts: tuple[SplitCount, ...]
    unreadable: Mapping[str, str] | None = None
    """Reason of each file that cannot be read, by name; None if no file was read."""
    written: bool = False
    """Whether the store exists now."""
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
    """Return the JSON file with the account of a store."""
    return store.with_name(f"{store.stem}.report.json")


def prepare_store(listing: Listing, store: Path, options: PrepareOptions, console: Console) -> Account:
    """Store the files of a data set and write the account to ``STORE.report.json``.

    An incomplete published data set is refused with exit code 3 unless ``allow_partial``: before any file is read if
    some are missing, after reading if some cannot be read; the parts are kept. Less than 95 % stored are exit code 3
    too. Raises what ``build_store`` raises.
    """
    all_needed = listing.official and not options.allow_partial
    account = Account(listing, store, options.builder.unit, tuple(split_counts(listing, None)))
    if not options.dry_run and (account.complete or not all_needed):
        report = build_store(
            listing, store, options.builder, options.workers, console, force=options.force, all_needed=all_needed
        )
        listed = {file.name for file in listing.files}
        unreadable = {name: reason for name, reason in report.failures if name in listed}
        counts = tuple(split_counts(listing, unreadable))
        account = evolve(account, counts=counts, unreadable=unreadable, written=report.written)
    account = _advised(account, all_needed, options.dry_run)
    write_json(report_file(store), as_data(account))
    return account


def as_data(account: Account) -> dict[str, Any]:
    """Return the account as plain data."""
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
        "left_out": dict([*listing.left_out, *listing.excluded]),
        "notes": list(listing.notes),
        "advice": list(account.advice),
    }


def account_table(account: Account) -> Table:
    """Return the numbers of all splits as a table."""
    listing = account.listing
    table = Table(title=f"{listing.dataset}: {len(listing.files)} {account.unit}, {len(listing.classes)} classes")
    table.add_column("split")
    for heading in ("official", "listed", "found", "missing", "unreadable"):
        table.add_column(heading, justify="right")
    for count in account.counts:
        numbers = (count.official, count.listed, count.found, count.missing, count.unreadable)
        table.add_row(count.split, *("-" if number is None else f"{number:,}" for number in numbers))
    return table


def account_lines(account: Account) -> list[str]:
    """Return what to print below the table: what was stored, the first files that were not, notes and advice."""
    listing = account.listing
    lines = [f"stored {account.stored} of {listing.count} {account.unit} in {account.store}"] if account.written else []
    lines += [f"missing: {name}" for name in list(listing.missing)[:SHOWN]]
    failures = [*(account.unreadable or {}).items(), *listing.left_out]
    lines += [f"{name}: {reason}" for name, reason in failures[:SHOWN]]
    if listing.excluded:
        lines.append(f"{len(listing.excluded)} {account.unit} left out: {listing.excluded[0][1]}")
    return [*lines, *listing.notes, *account.advice, f"report: {report_file(account.store)}"]


def _advised(account: Account, all_needed: bool, dry_run: bool) -> Account:
    """Add the exit code, and advice on what to do."""
    listing, advice, code = account.listing, [], 0
    if account.unreadable or (account.written and (listing.left_out or listing.excluded)):
        advice.append(f"files that were left out, with reasons: {quarantine_file(account.store)}")
    if all_needed and not account.complete:
        code = INCOMPLETE
        kept = "; what was packed is kept" if account.unreadable else ""
        state = f"so is {account.store}" if account.written else f"no store was written{kept}"
        advice.append(
            f"{listing.dataset} is incomplete, {state}: add the files named in {report_file(account.store)} and call "
            "this again, or store what there is with --allow-partial"
        )
    elif account.stored < ENOUGH * (listing.count - (len(listing.missing) if listing.official else 0)):
        code = INCOMPLETE
        advice.append(f"less than {ENOUGH:.0%} of the {account.unit} were {'found' if dry_run else 'stored'}")
    if dry_run:
        advice.append("dry run: no file was read")
    return evolve(account, advice=tuple(advice), exit_code=code)

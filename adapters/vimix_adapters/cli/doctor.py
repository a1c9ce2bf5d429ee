"""``vimix doctor``."""

from pathlib import Path
from typing import Annotated

import typer


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print versions, devices, codecs and limits of this machine, and how to install what is missing."""
    import json

    from vimix_adapters.commands.doctor import as_data, diagnose, findings_table, healthy
    from vimix_adapters.reports.console import show_table

    findings = diagnose(Path.cwd())
    if as_json:
        print(json.dumps(as_data(findings), indent=2))
    else:
        show_table(findings_table(findings))
        print(
            "the main commands can run"
            if healthy(findings)
            else "the main commands cannot run: mend what is broken first"
        )
    if not healthy(findings):
        raise typer.Exit(1)

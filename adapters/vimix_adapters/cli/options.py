"""Options that several commands share."""

from typing import Annotated

import typer

Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]

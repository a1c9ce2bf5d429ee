"""``vimix push`` and ``vimix pull``."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.export import CheckpointFile
from vimix_adapters.cli.options import Force

Repository = Annotated[str, typer.Argument(help="Repository of the Hugging Face Hub.", metavar="OWNER/NAME")]


def push(
    checkpoint: CheckpointFile,
    repository: Repository,
    private: Annotated[bool, typer.Option("--private", help="If the repository is new, make it private.")] = False,
) -> None:
    """Upload an encoder with its recipe and model card to the Hugging Face Hub (extra [hub])."""
    from vimix_adapters.commands.hub import push_checkpoint

    push_checkpoint(checkpoint, repository, private)


def pull(
    repository: Repository,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to write.", metavar="RUN")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; by default main.")] = None,
    force: Force = False,
) -> None:
    """Download an encoder from the Hugging Face Hub and make a checkpoint of it (extra [hub])."""
    from vimix_adapters.commands.hub import pull_checkpoint

    pull_checkpoint(repository, out, revision, force)

"""``vimix import``: weights that others trained."""

from pathlib import Path
from typing import Annotated

import typer


def import_weights(
    file: Annotated[Path, typer.Argument(help="Weights: torch.save or safetensors.", metavar="FILE")],
    modality: Annotated[str, typer.Option(help="What they see, such as rgb.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to make.", metavar="RUN")],
    layout: Annotated[str, typer.Option(help="auto, coclr, crosclr, moco, simclr, torchvision or vimix.")] = "auto",
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Accept less than 95 % matched; the rest stays random.")
    ] = False,
) -> None:
    """Make a checkpoint from weights that others trained; print what matched. No code in the file is run."""
    from vimix_adapters.commands.import_weights import import_checkpoint

    import_checkpoint(file, modality, out, layout, allow_partial)

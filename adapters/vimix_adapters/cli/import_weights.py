"""``vimix import``: weights that others trained."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Force


def import_weights(
    file: Annotated[Path, typer.Argument(help="Weights written by torch.save or safetensors.", metavar="FILE")],
    modality: Annotated[str, typer.Option(help="Modality of the encoder's input, such as rgb.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint to write.", metavar="RUN")],
    layout: Annotated[
        str,
        typer.Option(
            help="Origin of the weights: auto recognises coclr, crosclr, ctp, mc3_18, moco, r2plus1d_18, r3d_18, "
            "simclr, torchvision and vimix."
        ),
    ] = "auto",
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial", help="Accept weights for less than 95 % of the encoder; the rest stays random."
        ),
    ] = False,
    force: Force = False,
) -> None:
    """Make a checkpoint from weights that others trained, and print what matched. Runs no code of the file."""
    from vimix_adapters.commands.import_weights import import_checkpoint

    import_checkpoint(file, modality, out, layout, allow_partial, force=force)

"""``vimix pretrain``, ``vimix cmmc-stage`` and ``vimix run``."""

from pathlib import Path
from typing import Annotated

import typer

from vimix_adapters.cli.options import Device, Overrides, RecipeFile
from vimix_adapters.commands.signals import stop_at_once

Out = Annotated[Path, typer.Option(help="Folder of the run.", metavar="RUN")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in RUN.")]


MOST_SEEDS = 1000
"""Largest number of seeds of one call."""


@stop_at_once()
def pretrain(
    recipe: RecipeFile,
    modality: Annotated[str, typer.Option(help="Modality to train, such as rgb.")],
    out: Out,
    init: Annotated[Path | None, typer.Option(help="Checkpoint to start from.", metavar="CHECKPOINT")] = None,
    resume: Resume = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Pretrain the encoder of one modality with MoCo on clips mixed in the input space ([pretrain])."""
    from vimix_adapters.commands.run import train_single
    from vimix_adapters.config import PretrainStage, read_recipe

    train_single(
        read_recipe(recipe, overrides or ()),
        PretrainStage(pretrain=modality),
        out,
        inits={modality: init} if init else {},
        device=device,
        resume=resume,
    )


@stop_at_once()
def cmmc_stage(
    recipe: RecipeFile,
    train: Annotated[str, typer.Option(help="Modality to train.")],
    init: Annotated[Path, typer.Option(help="Checkpoint of the modality to train.", metavar="CHECKPOINT")],
    out: Out,
    partner: Annotated[
        str | None, typer.Option(help="Frozen modality whose hidden maps are mixed in; not for manifold_mixup.")
    ] = None,
    partner_init: Annotated[Path | None, typer.Option(help="Checkpoint of the partner.", metavar="CHECKPOINT")] = None,
    resume: Resume = False,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Train one CMMC stage: one encoder learns while the other is frozen ([cmmc])."""
    from vimix_adapters.commands.run import train_single
    from vimix_adapters.config import CmmcStage, read_recipe

    train_single(
        read_recipe(recipe, overrides or ()),
        CmmcStage(cmmc=train, partner=partner),
        out,
        inits={train: init, **({partner: partner_init} if partner and partner_init else {})},
        device=device,
        resume=resume,
    )


@stop_at_once()
def run_recipe(
    recipe: RecipeFile,
    out: Out,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print stages, steps, disk space, memory and time.")
    ] = False,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Number of seeds (4 means the seeds 0 to 3), or a list of seeds (0,3,7). Each runs in RUN/seed-N, "
            "and RUN has the summary. For a single seed: --set seed=N."
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Only train these arms (moco,vimix) and evaluate nothing: for several calls at once, each on a GPU or "
            "in a job of its own. The same call without --arms evaluates all arms."
        ),
    ] = None,
    overrides: Overrides = None,
    device: Device = "auto",
) -> None:
    """Run all stages and evaluations of a recipe, or continue an interrupted run after its last checkpoint."""
    from vimix.values.errors import VimixError
    from vimix_adapters.config import read_recipe

    resolved = read_recipe(recipe, overrides or ())
    numbers = [] if seeds is None else _numbers(seeds)
    chosen = [] if arms is None else [arm.strip() for arm in arms.split(",")]
    if plan and chosen:
        raise VimixError("--plan prints the plan of all arms: leave --arms out")
    if plan:
        from vimix_adapters.commands.plan import print_plan

        print_plan(resolved, out / f"seed-{numbers[0]}" if numbers else out, device, max(1, len(numbers)))
    elif numbers:
        from vimix_adapters.commands.run import run_seeds

        run_seeds(resolved, out, device, numbers, chosen)
    else:
        from vimix_adapters.commands.run import run_plan

        run_plan(resolved, out, device, chosen)


def _numbers(seeds: str) -> list[int]:
    """The seeds 0 to 4 for ``5``, and 0 and 3 for ``0,3``. Raises VimixError for anything else."""
    from vimix.values.errors import VimixError
    from vimix_adapters.config.schema import LARGEST_SEED

    try:
        numbers = [int(part) for part in seeds.split(",")]
    except ValueError:
        numbers = []
    if "," not in seeds and numbers:
        numbers = list(range(min(numbers[0], MOST_SEEDS + 1)))
    wrong = not numbers or min(numbers) < 0 or max(numbers) > LARGEST_SEED or len(set(numbers)) < len(numbers)
    if wrong or len(numbers) > MOST_SEEDS:
        raise VimixError(
            f"--seeds {seeds}: expected a number of seeds such as 5 (at most {MOST_SEEDS}), or a list such as 0,1,2; "
            "for a single seed use --set seed=N, without --seeds"
        )
    return numbers

"""Evaluates a run with the BatchNorm statistics of the key encoders, to tell what mixing does to them.

    python experiments/key_statistics.py RUN OUT [ARM ...]

evaluates some arms, or all, of the finished run in the folder RUN and writes the results into the folder OUT, where
``vimix experiments summarise`` finds them. The query encoder's running statistics come from mixed clips, as it was
trained; the key encoder's from unmixed ones, as an evaluation shows them. Weights stay as they are, and so does RUN.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config
from vimix_adapters.checkpoints.checkpoint_folder import load_checkpoint
from vimix_adapters.commands.evaluate_run import evaluate_run
from vimix_adapters.commands.scores import evaluation_targets
from vimix_adapters.commands.session import open_session
from vimix_adapters.commands.stage_folders import stages_of_arm
from vimix_adapters.files import make_folder, require_new, write_text
from vimix_adapters.reports.console import show_table
from vimix_adapters.reports.tables import console_table

STATISTICS = (".running_mean", ".running_var")


def main(run: Path, out: Path, arms: Sequence[str] = ()) -> None:
    """Evaluate arms of ``run`` with the key encoders' statistics. Raises VimixError if ``out`` has results already."""
    recipe = config.read_recipe(run / "recipe.toml")
    if unknown := [arm for arm in arms if arm not in recipe.arms]:
        raise VimixError(f"{run} has no arm {unknown[0]!r}, only {', '.join(recipe.arms)}")
    require_new(out / "results.json", force=False)
    recipe = evolve(recipe, arms={arm: recipe.arms[arm] for arm in arms or recipe.arms})
    last = {
        arm: {modality: folder for folder, stage in stages_of_arm(recipe, run, arm) for modality in stage.trained}
        for arm in recipe.arms
    }
    found = {
        arm: {Modality(m): with_key_statistics(load_checkpoint(folder).of(m)) for m, folder in folders.items()}
        for arm, folders in last.items()
    }
    make_folder(out)
    write_text(out / "recipe.toml", config.recipe_to_toml(recipe))
    with open_session(recipe, "auto") as session:
        rows = evaluate_run(session, found, evaluation_targets(recipe, session.store), out)
    show_table(console_table(rows, title=f"{recipe.name}, statistics of the key encoders"))


def with_key_statistics(found: Checkpoint) -> Checkpoint:
    """The query encoder alone, with the running means and variances of the key encoder."""
    query, key = found.parts["query"], found.parts["key"]
    mended = {name: key[name] if name.endswith(STATISTICS) else tensor for name, tensor in query.items()}
    return evolve(found, parts={**found.parts, "query": mended}).query_only


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except VimixError as error:
        sys.exit(f"error: {error}")

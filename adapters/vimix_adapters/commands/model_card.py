"""The model card of exported weights, in Markdown: what they are, their training, scores and terms of use."""

from pathlib import Path

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix_adapters import config
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.reports.console import markdown_table
from vimix_adapters.reports.summaries import RunResults
from vimix_adapters.reports.tables import scores_markdown

INPUTS = {
    "rgb": "R, G, B in 0 to 1, normalised by ImageNet's mean (0.485, 0.456, 0.406) and deviation (0.229, 0.224, 0.225)",
    "flow": "(u, v) divided by the store's bound, so within -1 to 1",
}
LICENCE = """\
The code is Apache-2.0. The weights are a product of the videos they were trained on: their use is bound by the terms of
those videos, which vimix does not know. Kinetics, UCF101 and HMDB51 are distributed for research; NTU RGB+D needs a
signed request and forbids passing data on. Check the terms of your data before you publish what was trained on it."""


def model_card(
    checkpoint: Checkpoint, recipe: config.Recipe, results: RunResults | None, format_name: str, usage: str
) -> str:
    """Return the card; ``results`` are those of the run that the checkpoint belongs to, if there are any."""
    settings, data = recipe.modalities[checkpoint.modality], recipe.data
    facts = {
        "encoder": f"{settings.encoder}, width {settings.width:g}, {settings.channels} channels",
        "input": f"[B, {settings.channels}, {data.frames}, {data.size}, {data.size}] float32, every {data.stride}. "
        f"frame; {INPUTS.get(checkpoint.modality, 'as the recipe says')}",
        "data": f"store fingerprint {_fingerprint(checkpoint, recipe, results)}, split {data.train_split!r}",
        **{key: str(value) for key, value in checkpoint.about.items()},
    }
    return f"""\
# {checkpoint.modality} encoder of {recipe.name}

Format: {format_name}. {usage}.

{markdown_table(["", ""], facts.items(), "l")}
## Scores

{_scores(results, checkpoint)}
## Licence and data terms

{LICENCE}

## Recipe

```toml
{checkpoint.recipe.strip()}
```
"""


def _scores(results: RunResults | None, checkpoint: Checkpoint) -> str:
    """The rows of all arms with the checkpoint's modality, to compare it with."""
    rows = [row for row in results.rows if checkpoint.modality in row.streams] if results else []
    if not rows:
        return "None recorded beside this checkpoint.\n"
    arm = checkpoint.about.get("arm", "?")
    return f"Per cent, from the run's results.json; this checkpoint: arm {arm!r}.\n\n{scores_markdown(rows)}"


def _fingerprint(checkpoint: Checkpoint, recipe: config.Recipe, results: RunResults | None) -> str:
    """Fingerprint of the training store: from the checkpoint, else the run's results, else the store itself."""
    recorded = checkpoint.about.get("data") or (results.data if results else "")
    if recorded:
        return str(recorded)
    try:
        return f"{Hdf5VideoStore(Path(recipe.data.store)).fingerprint} (of {recipe.data.store} as it is now)"
    except (VimixError, OSError, KeyError):
        return "not recorded"

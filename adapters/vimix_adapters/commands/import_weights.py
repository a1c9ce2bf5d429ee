"""``vimix import``: a checkpoint made from weights that others trained."""

from collections.abc import Mapping
from pathlib import Path

import torch
from attrs import frozen
from rich.table import Table
from torch import Tensor

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.folder import FolderCheckpointStore
from vimix_adapters.checkpoints.foreign import ForeignWeights, read_weights
from vimix_adapters.checkpoints.weight_formats import GRAPH, LAYOUTS, WeightFormat
from vimix_adapters.checkpoints.weight_matching import WeightMatch, best_layout, match_weights, renamed
from vimix_adapters.commands.import_stgcn import of_view, stgcn_names, stgcn_settings
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.folding import with_epsilon
from vimix_adapters.encoders.s3d import BATCH_NORM_EPS, build_s3d
from vimix_adapters.files import require_new
from vimix_adapters.reports.console import print_note, show_table
from vimix_adapters.reports.environment import versions

ENOUGH = 0.95
"""Share of the encoder's tensors that must match."""
CHANNELS = {RGB: 3, FLOW: 2}
"""Input channels of vimix's encoder by modality."""


@frozen
class Import:
    """The layout of imported weights, how well they match, and the checkpoint made from them."""

    layout: str
    match: WeightMatch
    checkpoint: Path


def import_checkpoint(
    file: Path,
    modality: str,
    out: Path,
    layout: str = "auto",
    allow_partial: bool = False,
    embedding: int = 128,
    force: bool = False,
) -> Import:
    """Make ``out/last.pt`` from a file of weights; print what matched.

    The projection head is random and there is no queue: a training that starts here makes its own. Raises VimixError if
    the file is unreadable or holds code, the layout is unknown, less than 95 % match (unless ``allow_partial``),
    nothing matches, or ``out/last.pt`` exists and ``force`` is false.
    """
    weights = read_weights(file)
    name = _layout_of(file, weights, layout)
    theirs = of_view(file, weights.tensors, LAYOUTS[name], modality)
    settings, graph = _settings(file, weights, theirs, Modality(modality))
    recipe = config.Recipe(
        name="imported",
        data=config.Data(store=""),
        modalities={modality: settings},
        contrast=config.Contrast(embedding=embedding),
    )
    network = wiring.build_network(recipe, Modality(modality), Compute(torch.device("cpu")))
    expected = {key: value.shape for key, value in network.encoder.state_dict().items()}
    match = match_weights(weights.tensors, expected, theirs)
    show_table(match_table(file, name, match), stderr=True)
    _require_enough(file, name, match, allow_partial)
    require_new(out / "last.pt", force, [file])  # makes the folder, so a refused file leaves none
    network.encoder.load_state_dict({**network.encoder.state_dict(), **_converted(match, theirs)})
    about = {**_about(file, name, match), **graph}
    parts = {"query": network.state_dict()}
    FolderCheckpointStore(out).save(Checkpoint(modality, config.recipe_to_toml(recipe), parts, about))
    print_note(f"written to {out / 'last.pt'}; BatchNorm: {about['batch_norm']}")
    for note in graph.values():
        print_note(note)
    return Import(name, match, out / "last.pt")


def _layout_of(file: Path, weights: ForeignWeights, layout: str) -> str:
    if layout != "auto":
        if layout not in LAYOUTS:
            raise VimixError(f"--layout {layout}: expected auto or one of {', '.join(LAYOUTS)}")
        return layout
    if weights.about.get("format", "").startswith("vimix-"):
        return "vimix"
    # vimix uses torchvision's names, so without metadata a file with these names is taken for torchvision's.
    others = {name: known for name, known in LAYOUTS.items() if name != "vimix"}
    found = best_layout(weights.tensors, _names, others)
    if found is None:
        raise VimixError(
            f"{file}: no name in it is one of an encoder that vimix knows (it begins with "
            f"{', '.join(list(weights.tensors)[:3])}): expected one of the layouts {', '.join(LAYOUTS)}"
        )
    return found


def _settings(
    file: Path, weights: ForeignWeights, layout: WeightFormat, modality: Modality
) -> tuple[config.ModalitySettings, dict[str, str]]:
    """Settings of the encoder, read from its tensors, and notes on its graph."""
    if config.ENCODERS[layout.encoder].maps == "graph":
        return stgcn_settings(file, renamed(weights.tensors, _names(layout) | {GRAPH}, layout))
    return _s3d_settings(file, weights, layout, modality), {}


def _s3d_settings(
    file: Path, weights: ForeignWeights, layout: WeightFormat, modality: Modality
) -> config.ModalitySettings:
    """Channels and width, read from the first convolution. Raises VimixError if it is missing or does not fit."""
    stem = "features.0.0.0.weight"
    named = renamed(weights.tensors, _names(layout), layout)
    if stem not in named or named[stem].ndim != 5:
        raise VimixError(f"{file}: the first convolution ({stem} in vimix's names) is not in it")
    filters, channels = named[stem].shape[:2]
    fed = CHANNELS.get(modality, channels)
    if channels != fed:
        why = ": CoCLR's flow is a picture (u, v, 128)" if modality == FLOW and channels == 3 else ""
        raise VimixError(
            f"{file}: its first convolution takes {channels} channels, vimix feeds {fed} to {modality}{why}"
        )
    width = float(weights.about.get("width", min(1.0, filters / 64)))
    return config.ModalitySettings(width=width, channels=channels)


def _names(layout: WeightFormat) -> set[str]:
    """Names of the encoder's tensors in vimix, which do not depend on its width."""
    if config.ENCODERS[layout.encoder].maps == "graph":
        return stgcn_names()
    return set(build_s3d(config.ModalitySettings(width=0.0625)).state_dict())


def _converted(match: WeightMatch, layout: WeightFormat) -> dict[str, Tensor]:
    """The matched tensors in float32, with the BatchNorm epsilon of vimix's encoder."""
    plain = {key: value.float() if value.is_floating_point() else value for key, value in match.found.items()}
    whole = {key: value for key, value in plain.items() if not key.endswith("running_var") or _weight(key) in plain}
    return {**plain, **with_epsilon(whole, layout.batch_norm_eps, BATCH_NORM_EPS)}


def _weight(variance: str) -> str:
    return f"{variance.removesuffix('running_var')}weight"


def _require_enough(file: Path, layout: str, match: WeightMatch, allow_partial: bool) -> None:
    if not match.found:
        raise VimixError(f"{file}: nothing in it matches layout {layout!r}; expected one of {', '.join(LAYOUTS)}")
    if match.share >= ENOUGH or allow_partial:
        return
    wrong = [*match.missing, *match.misshapen, *match.unexpected]
    raise VimixError(
        f"{file}: only {100 * match.share:.1f} % of the encoder match in layout {layout!r}, below {100 * ENOUGH:.0f} % "
        f"(such as {'; '.join(wrong[:3])}): choose another --layout, or add --allow-partial to leave the rest random"
    )


def _about(file: Path, layout: str, match: WeightMatch) -> dict[str, str | int | float]:
    theirs = LAYOUTS[layout]
    folded = theirs.batch_norm_eps != BATCH_NORM_EPS
    return {
        "stage": f"imported from {LAYOUTS[layout].about}",
        "file": file.name,
        "layout": layout,
        "prefix": match.prefix,
        "matched": len(match.found),
        "missing": len(match.missing),
        "unexpected": len(match.unexpected),
        "head": "random",
        "batch_norm": (
            f"eps {theirs.batch_norm_eps:g} became {BATCH_NORM_EPS:g}"
            + (", folded into the weights so that evaluation gives the same features" if folded else "")
            + f"; momentum {theirs.batch_norm_momentum:g}, the recipe's from now on"
        ),
        **{f"version_{name}": value for name, value in versions().items()},
    }


def match_table(file: Path, layout: str, match: WeightMatch) -> Table:
    """Return a table of the tensors that matched and of those that did not."""
    table = Table(title=f"{file.name}: layout {layout}, prefix {match.prefix!r}")
    for heading in ("", "tensors", "such as"):
        table.add_column(heading, justify="right" if heading == "tensors" else "left")
    table.add_row("matched", str(len(match.found)), f"{100 * match.share:.1f} % of the encoder")
    for title, names in (
        ("missing", match.missing),
        ("other shape", match.misshapen),
        ("unexpected", match.unexpected),
    ):
        table.add_row(title, str(len(names)), ", ".join(names[:3]))
    table.add_row("left out", str(sum(match.dropped.values())), _counted(match.dropped))
    return table


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in counts.items())

"""``vimix import``: a checkpoint made from weights that others trained."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from attrs import evolve, frozen
from rich.table import Table
from torch import Tensor

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import FLOW, RGB, Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore
from vimix_adapters.checkpoints.foreign import ForeignWeights, read_weights
from vimix_adapters.checkpoints.weight_formats import GRAPH, LAYOUTS, WeightFormat, with_epsilon
from vimix_adapters.checkpoints.weight_matching import WeightMatch, best_layout, match_weights, renamed
from vimix_adapters.commands.import_stgcn import SKELETON, of_view, stgcn_settings, stgcn_shapes
from vimix_adapters.encoders.chain import encoder_of
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.graph import SUBSETS
from vimix_adapters.encoders.s3d import BATCH_NORM_EPS
from vimix_adapters.files import require_new
from vimix_adapters.reports.console import print_note, show_table, text_table
from vimix_adapters.reports.environment import versions

ENOUGH = 0.95
"""Share of the encoder's tensors that must match."""
CHANNELS = {RGB: 3, FLOW: 2}
"""Input channels of vimix's encoder by modality."""
NOTES = ("graph", "recipe")
"""Keys of ``Checkpoint.about`` that are sentences for the user, on the graph and the recipe of an ST-GCN."""


@frozen(eq=False)
class Import:
    """The layout of imported weights, how well they match, and the checkpoint made from them."""

    layout: str
    match: WeightMatch
    checkpoint: Checkpoint


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
    the file is unreadable or holds code, the layout is unknown, less than 95 % match or a convolution is missing
    (unless ``allow_partial``), nothing matches, or ``out/last.pt`` exists and ``force`` is false.
    """
    made = _imported(file, Modality(modality), layout, allow_partial, embedding)
    require_new(out / "last.pt", force, [file])  # makes the folder, so a refused file leaves none
    FolderCheckpointStore(out).save(made.checkpoint)
    about = made.checkpoint.about
    print_note(f"written to {out / 'last.pt'}; BatchNorm: {about['batch_norm']}")
    for note in NOTES:
        if note in about:
            print_note(str(about[note]))
    return made


def initial_checkpoint(recipe: config.Recipe, modality: Modality) -> Checkpoint:
    """The weights in the file ``modalities.NAME.weights`` of the recipe, as a checkpoint that ``vimix import`` makes.

    Raises VimixError naming the key if the file cannot be imported, or holds another encoder than the recipe's.
    """
    settings = recipe.modalities[modality]
    try:
        made = _imported(Path(settings.weights), modality, "auto", False, recipe.contrast.embedding)
    except VimixError as error:
        raise VimixError(f"modalities.{modality}.weights: {error}") from error
    theirs = config.recipe_from_toml(made.checkpoint.recipe, settings.weights).modalities[modality]
    if theirs.encoder != settings.encoder:
        raise VimixError(
            f"modalities.{modality}.weights: {settings.weights} holds the weights of {theirs.encoder}, the recipe has "
            f"encoder = {settings.encoder!r}: make them the same"
        )
    return made.checkpoint


def _imported(file: Path, modality: Modality, layout: str, allow_partial: bool, embedding: int) -> Import:
    """Read the file and print what matched."""
    weights = read_weights(file)
    name = _layout_of(file, weights, layout)
    theirs = of_view(file, weights.tensors, _layout(name, weights), modality)
    settings, notes = _settings(file, weights, theirs, modality)
    recipe = config.Recipe(
        name="imported",
        data=config.Data(store=""),
        modalities={modality: settings},
        contrast=config.Contrast(embedding=embedding),
    )
    network = wiring.build_network(recipe, modality, Compute(torch.device("cpu")), wiring.recorded_packing(notes))
    expected = {key: value.shape for key, value in network.encoder.state_dict().items()}
    match = match_weights(weights.tensors, expected, theirs)
    show_table(match_table(file, name, match), stderr=True)
    _require_enough(file, name, match, expected, allow_partial)
    network.encoder.load_state_dict({**network.encoder.state_dict(), **_converted(match, theirs)})
    about = {**_about(file, name, match), **notes}
    parts = {"query": network.state_dict()}
    return Import(name, match, Checkpoint(modality, config.recipe_to_toml(recipe), parts, about))


def _layout_of(file: Path, weights: ForeignWeights, layout: str) -> str:
    if layout != "auto":
        if layout not in LAYOUTS:
            raise VimixError(f"--layout {layout}: expected auto or one of {', '.join(LAYOUTS)}")
        return layout
    if weights.about.get("format", "").startswith("vimix-"):
        return "vimix"
    # vimix uses torchvision's names, so without metadata a file with these names is taken for torchvision's.
    others = {name: known for name, known in LAYOUTS.items() if name != "vimix"}
    found = best_layout(weights.tensors, lambda known: _shapes(known.encoder), others)
    if found is None:
        raise VimixError(
            f"{file}: no name in it is one of an encoder that vimix knows (it begins with "
            f"{', '.join(list(weights.tensors)[:3])}): expected one of the layouts {', '.join(LAYOUTS)}"
        )
    return found


def _layout(name: str, weights: ForeignWeights) -> WeightFormat:
    """The layout; that of vimix's own exports is of the encoder that their metadata name."""
    encoder = weights.about.get("encoder", "")
    return evolve(LAYOUTS[name], encoder=encoder) if name == "vimix" and encoder in config.ENCODERS else LAYOUTS[name]


def _settings(
    file: Path, weights: ForeignWeights, layout: WeightFormat, modality: Modality
) -> tuple[config.ModalitySettings, dict[str, str]]:
    """Settings of the encoder, read from metadata of vimix or from its tensors, and notes on its graph."""
    entry = config.ENCODERS[layout.encoder]
    if entry.maps == "graph" and "recipe" in weights.about:
        return _own_settings(file, weights, modality)
    if entry.maps == "graph":
        return stgcn_settings(file, renamed(weights.tensors, {**_shapes(layout.encoder), GRAPH: _GRAPH_SHAPE}, layout))
    return _planar_settings(file, weights, layout, modality), {}


def _own_settings(
    file: Path, weights: ForeignWeights, modality: Modality
) -> tuple[config.ModalitySettings, dict[str, str]]:
    """Settings of an encoder on a graph that vimix exported, and the record of its store, which has the graph."""
    recipe = config.recipe_from_toml(weights.about["recipe"], f"the recipe in {file}", recorded=True)
    if modality not in recipe.modalities:
        raise VimixError(f"--modality {modality}: {file} holds an encoder of {weights.about.get('modality')}")
    return recipe.modalities[modality], wiring.packing_record(
        wiring.recorded_packing(json.loads(weights.about["about"]))
    )


def _planar_settings(
    file: Path, weights: ForeignWeights, layout: WeightFormat, modality: Modality
) -> config.ModalitySettings:
    """Channels and width, read from the shapes of the convolutions. Raises VimixError if the first is missing."""
    shapes = _shapes(layout.encoder)
    stem = next(name for name, shape in shapes.items() if len(shape) == 5)
    named = renamed(weights.tensors, shapes, layout)
    if stem not in named:
        raise VimixError(f"{file}: the first convolution ({stem} in vimix's names) is not in it")
    channels = named[stem].shape[1]
    fed = CHANNELS.get(modality, channels)
    if channels != fed:
        why = ": CoCLR's flow is a picture (u, v, 128)" if modality == FLOW and channels == 3 else ""
        raise VimixError(
            f"{file}: its first convolution takes {channels} channels, vimix feeds {fed} to {modality}{why}"
        )
    widest = max(named, key=lambda name: shapes[name][0] if shapes[name] else 0)
    width = float(weights.about.get("width", min(1.0, named[widest].shape[0] / shapes[widest][0])))
    return config.ModalitySettings(encoder=layout.encoder, width=width, channels=channels)


_GRAPH_SHAPE = torch.Size((SUBSETS, len(SKELETON.joints), len(SKELETON.joints)))


@cache
def _shapes(encoder: str) -> Mapping[str, torch.Size]:
    """Shapes of the encoder's tensors at full width, by their names in vimix."""
    if config.ENCODERS[encoder].maps == "graph":
        return stgcn_shapes()
    with torch.device("meta"):
        network = encoder_of(config.ModalitySettings(encoder=encoder))
    return {name: value.shape for name, value in network.state_dict().items()}


def _converted(match: WeightMatch, layout: WeightFormat) -> dict[str, Tensor]:
    """The matched tensors in float32, with the BatchNorm epsilon of vimix's encoder."""
    plain = {key: value.float() if value.is_floating_point() else value for key, value in match.found.items()}
    whole = {
        key: value
        for key, value in plain.items()
        if not key.endswith("running_var") or f"{key.removesuffix('running_var')}weight" in plain
    }
    return {**plain, **with_epsilon(whole, layout.batch_norm_eps, BATCH_NORM_EPS)}


def _require_enough(
    file: Path, layout: str, match: WeightMatch, expected: Mapping[str, torch.Size], allow_partial: bool
) -> None:
    if not match.found:
        raise VimixError(f"{file}: nothing in it matches layout {layout!r}; expected one of {', '.join(LAYOUTS)}")
    if allow_partial:
        return
    lost = [name for name, shape in expected.items() if len(shape) >= 4 and name not in match.found]
    if match.share >= ENOUGH and lost:
        others = f"; it has {', '.join(match.unexpected[:3])} instead" if match.unexpected else ""
        raise VimixError(
            f"{file}: {len(lost)} convolutions of {LAYOUTS[layout].encoder} are missing "
            f"({', '.join(lost[:3])}){others}: its network was changed (as in TCLR's R(2+1)D, which "
            "dilates a convolution), so its other weights do not fit: use weights of the "
            "original network, or add --allow-partial to leave these random"
        )
    if match.share >= ENOUGH:
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
    found = ["matched", str(len(match.found)), f"{100 * match.share:.1f} % of the encoder"]
    wrong = {"missing": match.missing, "other shape": match.misshapen, "unexpected": match.unexpected}
    counted = ", ".join(f"{count} of {name}" for name, count in match.dropped.items())
    rows = [
        found,
        *([title, str(len(names)), ", ".join(names[:3])] for title, names in wrong.items()),
        ["left out", str(sum(match.dropped.values())), counted],
    ]
    title = f"{file.name}: layout {layout}, prefix {match.prefix!r}"
    return text_table(["", "tensors", "such as"], rows, "lrl", title)

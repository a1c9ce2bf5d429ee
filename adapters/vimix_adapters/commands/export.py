"""``vimix export``: the encoder of a checkpoint in a format that other programs load, with a model card."""

import importlib.util
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name

import torch
from attrs import frozen
from torch import Tensor, nn

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix_adapters import config, wiring
from vimix_adapters.archives import seal
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.checkpoints.digests import DIGEST, weights_digest
from vimix_adapters.checkpoints.weight_formats import LAYOUTS, with_epsilon
from vimix_adapters.commands.embed import checkpoint_files
from vimix_adapters.commands.feature_cache import run_folder
from vimix_adapters.commands.model_card import model_card
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.encoders.s3d import BATCH_NORM_EPS
from vimix_adapters.files import replacing, require_new, write_text
from vimix_adapters.reports.console import print_note
from vimix_adapters.reports.summaries import RunResults, read_run

SAFETENSORS_FORMAT = "vimix-encoder-1"


@frozen(eq=False)
class Exported:
    """An encoder to be written, with its checkpoint and recipe."""

    encoder: StageChain
    checkpoint: Checkpoint
    recipe: config.Recipe

    @property
    def settings(self) -> config.ModalitySettings:
        """Settings of the encoder's modality."""
        return self.recipe.modalities[self.checkpoint.modality]

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors of the encoder by name, ``features.<stage>...``, float32."""
        return {key: value.detach().contiguous() for key, value in self.encoder.state_dict().items()}

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape [C, T, H, W] of a training clip."""
        return (self.settings.channels, self.recipe.data.frames, self.recipe.data.size, self.recipe.data.size)


def export_checkpoint(checkpoint: Path, format_name: str, out: Path, force: bool = False) -> None:
    """Write the trained encoder of ``checkpoint`` to ``out``, and its model card to ``out`` + ``.md``.

    Raises VimixError for a format that cannot hold this encoder or whose library is missing, if ``out`` or the card is
    the checkpoint, or if one of them exists and ``force`` is false.
    """
    write, usage = FORMATS[format_name]
    card = out.with_name(f"{out.name}.md")
    for file in (out, card):
        require_new(file, force, checkpoint_files(checkpoint))
    exported = open_encoder(checkpoint)
    # The libraries' own writers end a full disk with a traceback or an abort, so that they write to memory.
    content = write(exported)
    with replacing(out) as temporary:
        temporary.write_bytes(content)
    results = _results_of_run(checkpoint)
    write_text(card, model_card(exported.checkpoint, exported.recipe, results, format_name, usage))
    print_note(f"written to {out} ({usage}); model card: {card}")
    if "classifier" in exported.checkpoint.parts:
        print_note("the classifier behind the encoder was left out: vimix predict uses it")


def open_encoder(checkpoint: Path) -> Exported:
    """Load the trained encoder of a checkpoint in evaluation mode on the CPU, with the recipe that it was trained with.

    Raises VimixError if the checkpoint has no encoder.
    """
    loaded = load_trained(checkpoint)
    recipe = config.recipe_from_toml(loaded.recipe, f"the recipe in {checkpoint}", recorded=True)
    network = wiring.build_trained(recipe, loaded, Compute(torch.device("cpu")))
    return Exported(network.encoder.eval().requires_grad_(False), loaded, recipe)


def _results_of_run(checkpoint: Path) -> RunResults | None:
    """Results of the run that the checkpoint belongs to; a file that cannot be read is named and left out."""
    folder = run_folder(checkpoint)
    if folder is None or not (folder / "results.json").exists():
        return None
    try:
        return read_run(folder)
    except VimixError as error:
        print_note(f"the model card has no scores: {error}")
        return None


class PooledEncoder(nn.Module):
    """Clips [B, C, T, H, W] float32 -> features [B, D] float32: all stages, then the mean over time and space."""

    def __init__(self, encoder: StageChain) -> None:
        super().__init__()
        self.stages = nn.Sequential(*encoder.features)

    def forward(self, clips: Tensor) -> Tensor:
        """Return one feature per clip."""
        hidden: Tensor = self.stages(clips)
        return hidden.mean(dim=(2, 3, 4))


def _torchvision(exported: Exported) -> bytes:
    settings = exported.settings
    if not settings.entry.torchvision or settings.width != 1 or settings.channels != 3:
        names = ", ".join(entry.name for entry in config.ENCODERS.values() if entry.torchvision)
        raise VimixError(
            f"--format torchvision: torchvision has {names} of width 1 with 3 channels, this encoder is "
            f"{settings.encoder} of width {settings.width:g} with {settings.channels} channels: use --format "
            "safetensors"
        )
    layout = next(known for name, known in LAYOUTS.items() if name != "vimix" and known.encoder == settings.encoder)
    with torch.device("meta"):
        theirs = resolve_name(settings.entry.torchvision)().state_dict()
    state = with_epsilon(exported.state, BATCH_NORM_EPS, layout.batch_norm_eps)
    buffer = io.BytesIO()
    torch.save({name: state[ours] for name in theirs if (ours := layout.rename(name)) in state}, buffer)
    seal(buffer)
    return buffer.getvalue()


def _safetensors(exported: Exported) -> bytes:
    from safetensors.torch import save

    settings, checkpoint = exported.settings, exported.checkpoint
    metadata = {
        "format": SAFETENSORS_FORMAT,
        "modality": str(checkpoint.modality),
        "encoder": settings.encoder,
        "width": str(settings.width),
        "channels": str(settings.channels),
        "feature_size": str(exported.encoder.feature_size),
        "batch_norm_eps": str(BATCH_NORM_EPS),
        "about": json.dumps(dict(checkpoint.about)),
        "recipe": checkpoint.recipe,
    }
    content: bytes = save(exported.state, {**metadata, DIGEST: weights_digest(exported.state, metadata)})
    return content


def _require_video(exported: Exported, format_name: str) -> None:
    if exported.settings.entry.maps != "planes":
        raise VimixError(
            f"--format {format_name}: only encoders of pictures and flow are exported as a graph; this one is "
            f"{exported.settings.encoder}, whose graph and absent persons come from its store: use --format safetensors"
        )


def _torch_export(exported: Exported) -> bytes:
    _require_video(exported, "torch-export")
    clips = torch.zeros(2, *exported.shape)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(PooledEncoder(exported.encoder).eval(), (clips,), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def _onnx(exported: Exported) -> bytes:
    _require_video(exported, "onnx")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise VimixError(
            f"--format onnx: {' and '.join(missing)} not installed; install the extra: pip install 'vimix-ssl[onnx]'"
        )
    clips, batch = torch.zeros(2, *exported.shape), torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        PooledEncoder(exported.encoder).eval(),
        (clips,),
        input_names=["clips"],
        output_names=["features"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # with dynamo=True it is returned
    content: bytes = program.model_proto.SerializeToString()
    return content


Write = Callable[[Exported], bytes]

FORMATS: Mapping[str, tuple[Write, str]] = {
    "torchvision": (
        _torchvision,
        "load_state_dict(torch.load(FILE), strict=False) of the network in torchvision.models.video that is called as "
        "the encoder: all weights but the classifier's; BatchNorm has torchvision's eps",
    ),
    "safetensors": (
        _safetensors,
        "tensors features.* of the encoder; the metadata holds width, channels and BatchNorm eps",
    ),
    "torch-export": (_torch_export, "torch.export.load(FILE).module()(clips) gives pooled features; any batch size"),
    "onnx": (_onnx, "input clips, output features (pooled); any batch size"),
}
"""Function that makes the file of a format, and a sentence on its use, by the name that ``--format`` takes."""

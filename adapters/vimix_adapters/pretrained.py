"""Trained encoders in Python: ``vimix.load_encoder`` and ``vimix.embed_videos``."""

from collections.abc import Callable, Iterable
from os import PathLike, fspath
from pathlib import Path

import numpy as np
import torch
from attrs import evolve
from numpy.typing import NDArray
from torch import Tensor, nn

from vimix.app.feature_extraction import extract_features
from vimix.ports.clips import Frames
from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix.values.video import ModalityFormat
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.checkpoints.foreign import read_weights
from vimix_adapters.clips.hdf5 import Hdf5VideoStore, formats_of
from vimix_adapters.config.store_settings import PackSettings, SkeletonSettings, StoreSettings
from vimix_adapters.encoders.chain import StageChain
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.flow.fields import quantise
from vimix_adapters.prepare.single_file import read_as_stored
from vimix_adapters.reading import parse_json

AnyPath = str | PathLike[str]
AXES = 4
"""Frames of one video: [T, H, W, C] or [T, V, M, C]."""


class PretrainedEncoder(nn.Module):
    """The encoder of one modality without its projection head, and the recipe that says how its clips are prepared.

    ``load_encoder`` returns it in evaluation mode. ``embed`` and ``features`` are for inference: no gradient,
    evaluation mode, the recipe's precision. ``forward`` and ``partial_forward`` are plain torch: they use the current
    mode and give gradients, so that the encoder can be trained further.
    """

    def __init__(
        self, chain: StageChain, kind: ModalityFormat, recipe: config.Recipe, packing: StoreSettings, dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.chain = chain
        self.kind, self.recipe, self.packing, self.dtype = kind, recipe, packing, dtype

    @property
    def modality(self) -> Modality:
        """The modality of its clips, such as ``rgb``."""
        return self.kind.modality

    @property
    def depth(self) -> int:
        """Number of stages L."""
        return self.chain.depth

    @property
    def feature_size(self) -> int:
        """D, the length of a feature."""
        return self.chain.feature_size

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def embed(self, frames: Frames | Tensor) -> Tensor:
        """A feature of one video, float32 [D], or of N videos of one length, [N, D], on the encoder's device.

        Frames are cropped, normalised and cut into windows as ``vimix evaluate`` does it by the recipe's protocol; the
        feature is the mean over the windows. ``frames`` (NumPy or torch) depend on the modality:

        - pictures: uint8 [T, H, W, 3] or [N, T, H, W, 3], R, G, B, at the frame rate of the training videos;
        - flow (u, v): uint8 [T, H, W, 2] or [N, T, H, W, 2] as a store holds it, or floats in pixels of these frames,
          which are clipped and rounded as in a store;
        - skeletons: floats [T, V, M, C] or [N, T, V, M, C], prepared as a store holds them.

        Raises VimixError for frames of another shape or type, and if a feature is not finite.
        """
        videos = self._videos(frames)
        rows = torch.from_numpy(self.embed_each(len(videos), videos.__getitem__)).to(self.device)
        return rows[0] if np.ndim(frames) == AXES else rows

    def clips(self, frames: Frames | Tensor) -> Tensor:
        """The windows of one video, float32 [windows, C, T, size, size] on the encoder's device: input of stage 0.

        ``frames`` are one video as for ``embed``. A skeleton is one window, [1, C, T, V, M].
        Raises VimixError for several videos, and for frames of another shape or type.
        """
        videos = self._videos(frames)
        if len(videos) != 1:
            raise VimixError(f"expected one video, got {len(videos)}: their windows may differ in number")
        return torch.cat([part.clips for part in self._windows(1, videos.__getitem__).videos()])

    def forward(self, clips: Tensor) -> Tensor:
        """Features [B, D] float32 of prepared clips [B, C, T, H, W] (skeletons [B, 3, T, V, M])."""
        return self.chain.pool(self.partial_forward(self.chain.laid_out(clips), 0, self.depth))

    def partial_forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Stages start ... stop-1 (half open). Stage 0 takes prepared clips; ``partial_forward(x, a, a)`` is x.

        Maps are [B, C, T, H, W] at every boundary, those of skeletons [B, C, T, V, M].
        Raises ValueError unless 0 <= start <= stop <= depth.
        """
        return self.chain.partial_forward(x, start, stop)

    @torch.no_grad()
    def features(self, clips: Tensor) -> Tensor:
        """``forward`` without gradient, in evaluation mode and in the recipe's precision."""
        modes = [(module, module.training) for module in self.modules()]  # the caller may have frozen some of them
        self.eval()
        try:
            with self._compute.autocast():
                features: Tensor = self(clips)
                return features
        finally:
            for module, training in modes:
                module.training = training

    def embed_each(self, count: int, frames: Callable[[int], Frames]) -> NDArray[np.float32]:
        """Features [count, D] of videos that ``frames(number)`` returns one by one, as a store holds them."""
        if count == 0:
            return np.empty((0, self.feature_size), dtype=np.float32)
        clips, pool = self._windows(count, frames), wiring.build_pooling(self.recipe)
        return extract_features(self, clips, range(count), self.recipe.evaluate.batch_clips, pool).features

    @property
    def _compute(self) -> Compute:
        return Compute(self.device, self.dtype)

    def _windows(self, count: int, frames: Callable[[int], Frames]) -> wiring.UnstoredClips:
        return wiring.UnstoredClips(self.recipe, count, frames, self.kind, self._compute)

    def _videos(self, frames: Frames | Tensor) -> Frames:
        """The videos [N, T, ...] as a store holds them. Raises VimixError unless ``embed`` can take them."""
        array = np.asarray(frames.detach().cpu() if isinstance(frames, Tensor) else frames)
        videos: Frames = np.require(array if array.ndim > AXES else array[None], requirements=("C", "W"))
        floats, skeletons = np.issubdtype(array.dtype, np.floating), self.kind.layout is not None
        fits = (skeletons or self.kind.bound > 0) if floats else (array.dtype == np.uint8 and not skeletons)
        if not (fits and self._fits(videos.shape)):
            raise VimixError(f"expected {self._expected()}, got {array.dtype} {list(array.shape)}")
        if not floats:
            return videos
        masked = isinstance(self.packing, SkeletonSettings) and self.packing.not_found == "mask"
        if not (np.isfinite(videos) | (masked & np.isnan(videos))).all():
            raise VimixError(f"the {self.modality} holds numbers that are not finite: replace them, say by 0")
        videos = videos.astype(np.float32, copy=False)
        return videos if skeletons else quantise(videos, self.kind.bound)

    def _fits(self, shape: tuple[int, ...]) -> bool:
        if len(shape) != AXES + 1 or 0 in shape[1:] or shape[-1] != self.kind.channels:
            return False
        if isinstance(self.packing, SkeletonSettings):
            return shape[1:3] == (self.packing.frames, len(self.packing.layout.joints))
        return True

    def _expected(self) -> str:
        if isinstance(self.packing, SkeletonSettings):
            frames, joints, axes = (
                self.packing.frames,
                len(self.packing.layout.joints),
                f"T, V, M, {self.kind.channels}]",
            )
            size = f"{axes} with T = {frames} and V = {joints} joints"
            return f"{self.modality} as floats [{size}, or [N, {axes} (vimix.embed_videos prepares files)"
        kinds = "uint8 or floats in pixels" if self.kind.bound else "uint8"
        size = f"T, H, W, {self.kind.channels}]"
        return f"{self.modality} as {kinds} [{size} or [N, {size}"


def load_encoder(path: AnyPath, *, store: AnyPath | None = None, device: str = "auto") -> PretrainedEncoder:
    """The encoder of a checkpoint or an export, in evaluation mode.

    ``path`` is a checkpoint (``last.pt``), the folder of a stage, or what ``vimix export --format safetensors`` wrote.
    No code in the file is run. Checkpoints and exports remember how the videos of their training were packed; ``store``
    names another store whose settings are to be used. Weights from ``vimix import`` take the defaults of
    ``vimix prepare``. ``device``: auto (a CUDA GPU where there is one), cpu, cuda or cuda:N.

    Raises VimixError naming the file if it is missing, damaged or of another kind.
    """
    path = Path(path)
    checkpoint = _exported(path) if path.suffix == ".safetensors" else load_trained(path)
    recipe = config.recipe_from_toml(checkpoint.recipe, f"the recipe in {path}", recorded=True)
    return encoder_with(path, checkpoint, recipe, device, store)


def encoder_with(
    path: Path, checkpoint: Checkpoint, recipe: config.Recipe, device: str, store: AnyPath | None = None
) -> PretrainedEncoder:
    """The encoder of a checkpoint, which was read from ``path``, for clips as another ``recipe`` has them.

    Raises VimixError as ``load_encoder`` does, or if the recipe does not have the checkpoint's modality.
    """
    if checkpoint.modality not in recipe.modalities:
        raise VimixError(f"{path} is a checkpoint of {checkpoint.modality}, which the recipe does not have")
    checkpoint, recipe, packing, kind = without_store(path, checkpoint, recipe, store)
    compute = wiring.build_compute(recipe, device)
    network = wiring.build_trained(recipe, checkpoint, compute)
    return PretrainedEncoder(network.encoder, kind, recipe, packing, compute.dtype).eval()


def embed_videos(paths: Iterable[AnyPath], encoder: PretrainedEncoder) -> NDArray[np.float32]:
    """Features float32 [N, D] of N video files (of skeleton files, where the encoder is of skeletons), in their order.

    Each file is decoded, and its flow computed where the encoder is of flow, as the store of the encoder's training was
    made. The features are those that ``vimix extract`` writes for such a store. One file is in memory at a time.
    Raises VimixError naming the first file that cannot be read.
    """
    if isinstance(paths, str | PathLike):
        raise VimixError(f"embed_videos: expected a list of files, got one path: write [{fspath(paths)!r}]")
    if encoder.modality not in formats_of(encoder.packing):
        raise VimixError(f"a file holds no {encoder.modality}: make its frames yourself and give them to .embed")
    files = [Path(path) for path in paths]
    return encoder.embed_each(
        len(files), lambda number: read_as_stored(files[number], encoder.packing, encoder.modality)
    )


def _exported(path: Path) -> Checkpoint:
    """A checkpoint without a projection head, from a file of ``vimix export --format safetensors``."""
    weights = read_weights(path)
    if missing := [key for key in ("modality", "recipe", "about") if key not in weights.about]:
        raise VimixError(
            f"{path}: its metadata lack {', '.join(missing)}, so vimix export did not write it: use vimix import first"
        )
    query = {f"encoder.{name}": value for name, value in weights.tensors.items()}
    recorded = parse_json(weights.about["about"], str(path), "metadata that vimix export wrote")
    about = {**recorded, "head": "random"}
    return Checkpoint(weights.about["modality"], weights.about["recipe"], {"query": query}, about)


def without_store(
    path: Path, checkpoint: Checkpoint, recipe: config.Recipe, store: AnyPath | None = None
) -> tuple[Checkpoint, config.Recipe, StoreSettings, ModalityFormat]:
    """Checkpoint and recipe that need no store, the settings by which its videos were packed, and their format.

    The settings are those of the store that the caller names, that the checkpoint records, or that the recipe names.
    They then stand for the store: a file that happens to lie at the recipe's path has no say. Raises VimixError, naming
    the checkpoint's ``path``, if there are none, or such a store does not have the modality.
    """
    packing = _packing(path, checkpoint, recipe, store)
    recipe = evolve(recipe, data=evolve(recipe.data, store=""))
    checkpoint = evolve(checkpoint, about={**checkpoint.about, **wiring.packing_record(packing)})
    return checkpoint, recipe, packing, _format(path, Modality(checkpoint.modality), recipe, packing)


def _packing(path: Path, checkpoint: Checkpoint, recipe: config.Recipe, store: AnyPath | None) -> StoreSettings:
    if store is not None:
        return Hdf5VideoStore(Path(store)).settings
    found = wiring.recorded_packing(checkpoint.about) or wiring.store_settings(recipe.data.store)
    if found is None and recipe.data.store:
        raise VimixError(
            f"{path} does not say how its videos were packed, and its store {recipe.data.store} does not exist: name "
            "that store, or one that was packed alike, with store="
        )
    imported = wiring.skeleton_settings(recipe) if checkpoint.modality in recipe.skeletons else PackSettings()
    return found or imported


def _format(path: Path, modality: Modality, recipe: config.Recipe, packing: StoreSettings) -> ModalityFormat:
    """Format of the modality's frames in such a store; a modality that the store lacks is taken for pictures."""
    formats, channels = formats_of(packing), recipe.modalities[modality].channels
    alike = isinstance(packing, SkeletonSettings) == (modality in recipe.skeletons)
    if alike and modality in formats:
        return formats[modality]
    if alike and channels == 3:
        return ModalityFormat(modality, channels)
    raise VimixError(f"{path} is an encoder of {modality}, which a store of {', '.join(formats)} does not have")

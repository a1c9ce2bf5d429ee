"""Features on disk, with a manifest of all they depend on, so that they are extracted only once."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from attrs import frozen

from vimix.ports.clips import VideoStore
from vimix.ports.network import Network
from vimix.values.errors import VimixError
from vimix.values.features import VideoFeatures
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.archives import read_arrays, write_arrays
from vimix_adapters.checkpoints.digests import state_digest
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.reading import parse_json

FORMAT = "vimix-features-1"
ARRAYS = ("features", "labels", "sources", "videos")

log = structlog.get_logger()

Manifest = Mapping[str, Any]


@frozen
class FeatureCache:
    """Files ``MODALITY-SPLIT-WEIGHTS-STORE.npz`` in one folder; each opens with NumPy alone.

    A file with another manifest, or that cannot be read, is replaced by newly extracted features.
    """

    folder: Path

    def get(self, manifest: Manifest, compute: Callable[[], VideoFeatures]) -> VideoFeatures:
        """Return the features that ``manifest`` describes: those on disk, or else ``compute()``, which is written."""
        hashes = f"{manifest['weights'][:12]}-{manifest['store'][:8]}"
        path = self.folder / f"{manifest['modality']}-{manifest['split']}-{hashes}.npz"
        cached = self._read(path, manifest)
        if cached is not None:
            log.info("features.cached", file=path.name)
            return cached
        features = compute()
        try:
            arrays = {name: getattr(features, name) for name in ARRAYS}
            write_arrays(path, {**arrays, "manifest": np.array(json.dumps(dict(manifest)))})
        except OSError as error:  # a full or read-only disk costs time later, but no result
            log.warning("features.not_kept", file=str(path), reason=str(error))
        return features

    def _read(self, path: Path, manifest: Manifest) -> VideoFeatures | None:
        if not path.is_file():
            return None
        try:
            arrays = read_arrays(path, (*ARRAYS, "manifest"), "features")
            written = parse_json(str(arrays.pop("manifest")), str(path), "a manifest")
            if written == manifest:
                return VideoFeatures(**arrays)
        except (VimixError, ValueError) as error:
            log.warning("features.made_again", reason=str(error))
            return None
        changed = sorted(key for key in {*written, *manifest} if written.get(key) != manifest.get(key))
        log.info("features.stale", file=path.name, changed=", ".join(changed))
        return None


def cache_beside(checkpoint: Path) -> FeatureCache:
    """Return the cache in ``features`` of the checkpoint's run, or beside the checkpoint if it belongs to no run."""
    return FeatureCache((run_folder(checkpoint) or _folder(checkpoint)) / "features")


def run_folder(checkpoint: Path) -> Path | None:
    """The folder with ``recipe.toml`` that the checkpoint lies in or up to three levels below; None outside a run."""
    folder = _folder(checkpoint)
    return next((f for f in (folder, *folder.resolve().parents[:3]) if (f / "recipe.toml").is_file()), None)


def _folder(checkpoint: Path) -> Path:
    return checkpoint if checkpoint.is_dir() else checkpoint.parent


def windows(recipe: config.Recipe) -> dict[str, object]:
    """Everything that determines the features of a video except the encoder."""
    data, protocol = recipe.data, config.protocol_of(recipe)
    pictures = {
        "frames": data.frames,
        "frame_step": data.stride,
        "size": data.size,
        "window_stride": wiring.window_stride(recipe),
        "windows_end": protocol.windows_end,
        "padding": protocol.padding,
        "crop_share": protocol.crop_share,
    }
    skeletons = {"skeletons": f"whole sequences of {wiring.skeleton_settings(recipe).frames} frames"}
    return {
        **(pictures if recipe.pictures else {}),
        **(skeletons if recipe.skeletons else {}),
        "unit_clips": protocol.unit_clips,
        "mode": "encoder in evaluation mode, before the projection head",
    }


def manifest_of(
    network: Network, store: VideoStore, modality: Modality, split: str, recipe: config.Recipe, compute: Compute
) -> dict[str, Any]:
    """Everything that features depend on, as JSON: weights, data, protocol, precision, device and torch."""
    plain = {
        "format": FORMAT,
        "modality": str(modality),
        "split": split,
        "weights": state_digest(network.state_dict()),
        "store": store.fingerprint,
        "protocol": {**windows(recipe), "batch_clips": recipe.evaluate.batch_clips},
        "precision": str(compute.dtype),
        "device": compute.device.type,
        "torch": torch.__version__,
    }
    return dict(json.loads(json.dumps(plain)))

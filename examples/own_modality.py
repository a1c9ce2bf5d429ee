"""Train an encoder on a modality of your own: python examples/own_modality.py STORE.h5 OUT.

It is computed from a store's pictures when they are read: how much each pixel changed since the frame before.
"""

import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from vimix.app.train import train
from vimix.values.checkpoint import Checkpoint
from vimix.values.modality import RGB, Modality
from vimix.values.video import ModalityFormat
from vimix_adapters import wiring
from vimix_adapters.clips.hdf5 import Hdf5VideoStore
from vimix_adapters.config import Data, ModalitySettings, Optim, PretrainStage, Recipe

CHANGE = Modality("change")


@attrs.frozen
class WithChange:
    """A store with one modality more."""

    of: Hdf5VideoStore

    def __getattr__(self, name: str) -> Any:
        """Videos, classes, splits, members and so on are those of the store."""
        return getattr(self.of, name)

    @property
    def formats(self) -> dict[Modality, ModalityFormat]:
        """Three channels without a bound are treated as pictures, two with a bound as vectors in pixels."""
        return {**self.of.formats, CHANGE: ModalityFormat(CHANGE, channels=3)}

    def read(self, video: int, modality: Modality, start: int, count: int) -> np.ndarray:
        """Frames start ... start+count-1, uint8 [count, H, W, 3]."""
        if modality != CHANGE:
            return self.of.read(video, modality, start, count)
        before = min(start, 1)  # one frame more, unless the clip begins with the video
        frames = self.of.read(video, RGB, start - before, count + before).astype(np.int16)
        return np.abs(np.diff(frames, axis=0, prepend=frames[:1]))[-count:].astype(np.uint8)


def main(store: str, out: str, frames: int = 16, size: int = 64, batch: int = 16, width: float = 0.25) -> Checkpoint:
    """Pretrain S3D of that width by MoCo with mixup for one epoch; the checkpoint is OUT/last.pt."""
    data, encoder = Data(store, frames=frames, size=size, workers=0), ModalitySettings(width=width)
    recipe = Recipe("change", data, {CHANGE: encoder}, optim=Optim(batch=batch))
    stage = wiring.build_stage(recipe, PretrainStage(CHANGE, epochs=1, milestones=()))
    videos, compute = WithChange(Hdf5VideoStore(Path(store))), wiring.build_compute(recipe, "auto")
    return train(wiring.build_stage_run(recipe, stage, videos, {}, Path(out), compute))


if __name__ == "__main__":
    checkpoint = main(*sys.argv[1:3])
    print(f"{checkpoint.about['steps']} steps; vimix.load_encoder({sys.argv[2]!r}).embed(frames) gives features")

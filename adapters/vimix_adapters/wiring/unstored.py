"""Evaluation clips of videos that are in no store, prepared as those of a store are."""

from collections.abc import Callable, Iterator

from attrs import evolve, frozen

from vimix.ports.clips import Frames
from vimix.values.clips import VideoClips
from vimix.values.video import ModalityFormat
from vimix_adapters import config
from vimix_adapters.clips.arrays import ArrayStore
from vimix_adapters.encoders.contrastive_network import Compute
from vimix_adapters.wiring.stores import build_evaluation_clips


@frozen(eq=False)
class UnstoredClips:
    """Implements ``vimix.ports.clips.EvaluationClips`` for ``count`` videos that ``frames(number)`` gives one by one.

    Frames are uint8 [T, H, W, C], of a skeleton float32 [T, V, M, C]. One video is in memory at a time.
    """

    recipe: config.Recipe
    count: int
    frames: Callable[[int], Frames]
    kind: ModalityFormat
    compute: Compute
    crops: str = "protocol"
    """Name of the crops, as ``build_evaluation_clips`` takes it."""

    def __len__(self) -> int:
        """Number of videos."""
        return self.count

    def videos(self) -> Iterator[VideoClips]:
        """The videos in the order of their numbers, with label -1. Raises what ``frames`` raises."""
        recipe = evolve(self.recipe, data=evolve(self.recipe.data, workers=0))
        for number in range(self.count):
            store = ArrayStore(self.frames(number), self.kind)
            clips = build_evaluation_clips(recipe, store, [0], self.kind.modality, self.compute, self.crops)
            for part in clips.videos():
                yield evolve(part, video=number)

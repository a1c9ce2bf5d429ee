"""A small skeleton, a store of skeletons in memory, and files as Kinect writes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from vimix.ports.clips import Frames
from vimix.values.errors import VimixError
from vimix.values.modality import BONE, JOINT, MOTION, Modality
from vimix.values.skeleton import SkeletonLayout
from vimix.values.video import ModalityFormat, Video

FIVE = SkeletonLayout(
    name="five",
    joints=("chest", "left hand", "right hand", "hip", "foot"),
    edges=[(1, 0), (2, 0), (3, 0), (4, 3)],
    centre=0,
    shoulders=(1, 2),
    pairs=[(1, 2)],
)


def chain(joints: int) -> SkeletonLayout:
    """Joints in a row, each the next one's parent."""
    names = tuple(f"j{i}" for i in range(joints))
    return SkeletonLayout("chain", names, [(i, i - 1) for i in range(1, joints)], 0, (1, 2))


def formats(layout: SkeletonLayout) -> dict[Modality, ModalityFormat]:
    """One stored array, joint, and two derived ones."""
    derived = {MOTION: JOINT, BONE: JOINT}
    return {m: ModalityFormat(m, 3, layout=layout, derived_from=derived.get(m)) for m in (JOINT, MOTION, BONE)}


@frozen
class FakeSkeletonStore:
    """Implements ``vimix.ports.clips.VideoStore``: noise, told apart by the video's number; every third is a pair."""

    count: int = 10
    length: int = 12
    persons: int = 2
    layout: SkeletonLayout = FIVE
    classes: Sequence[str] = ("bow", "wave")
    fingerprint: str = "fake"
    formats: Mapping[Modality, ModalityFormat] = field(factory=lambda: formats(FIVE))

    @property
    def videos(self) -> Sequence[Video]:
        return tuple(Video(f"{i}.skeleton", i % 2, f"s{i // 2}", self.length, 15.0) for i in range(self.count))

    @property
    def splits(self) -> Sequence[str]:
        return ("all", "test", "train")

    def members(self, split: str) -> Sequence[int]:
        if split not in self.splits:
            raise VimixError(f"no split {split!r}, only all, test, train")
        return tuple(i for i in range(self.count) if split == "all" or (i % 4 == 0) == (split == "test"))

    def read(self, video: int, modality: Modality, start: int, count: int) -> Frames:
        if not (start >= 0 and count > 0 and start + count <= self.length):
            raise IndexError(f"{video} has {self.length} frames")
        if modality != JOINT:
            raise VimixError(f"{video} ({modality}) cannot be read")
        return self.sequence(video)[start : start + count]

    def sequence(self, video: int) -> NDArray[np.float32]:
        """[T, V, M, 3]."""
        shape = (self.length, len(self.layout.joints), self.persons, 3)
        sequence = np.random.default_rng(video).standard_normal(shape, dtype=np.float32)
        sequence[:, :, 1:] *= video % 3 == 0
        return sequence


Body = tuple[int, NDArray[np.float64]]
"""A body's number and its joints [V, 3]."""


def ntu_text(frames: Sequence[Sequence[Body]], newline: str = "\n") -> bytes:
    """NTU RGB+D's file of those frames' bodies."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, joints in bodies:
            lines += [f"{number} 0 1 1 1 1 0 0.1 -0.2 2", str(len(joints))]
            lines += [f"{x:.9g} {y:.9g} {z:.9g} 1 2 3 4 0 0 0 0 2" for x, y, z in joints]
    return (newline.join(lines) + newline).encode()


def write_walk(path: Path, seed: int, action: int, frames: int = 20, bodies: int = 1) -> None:
    """A real file of 25 joints: a body that sways with the action's own rhythm."""
    rng = np.random.default_rng(seed)
    rest = rng.normal(size=(bodies, 25, 3)) + np.array([0.0, 0.0, 3.0])
    sway = np.sin(np.arange(frames) * (1 + action) / 3)[:, None] * np.array([0.5, 0.2, 0.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ntu_text([[(7 + b, rest[b] + sway[t]) for b in range(bodies)] for t in range(frames)]))

"""The videos of a store and the formats of their modalities."""

from attrs import frozen

from vimix.values.modality import Modality
from vimix.values.skeleton import SkeletonLayout


@frozen
class Video:
    """One video or skeleton sequence."""

    name: str
    """Unique in the store."""
    label: int
    """Index into the class names of the store, -1 if unknown."""
    source: str
    """The recording that the video was cut from (UCF101: ``v_X_gNN``): siblings share one."""
    frames: int
    """Frames of the shortest modality. Flow of T frames has T-1 fields; the last one is stored twice, so that all
    modalities of a video are equally long."""
    rate: float
    """Frames a second."""


@frozen
class ModalityFormat:
    """Format in which a store holds a modality.

    Frames of pictures and flow are read as uint8 [T, H, W, C]. Frames of skeletons are read as float32 [T, V, M, C]: V
    joints of M persons, their coordinates in the unit of the recording (Kinect: metres) and, with ``score``, how sure
    the pose estimator was. A person that is not in the scene is all zero; a masked joint is NaN.
    """

    modality: Modality
    channels: int
    """Channels of a clip, C."""
    bound: float = 0.0
    """Displacement in pixels that ±1 stands for (flow); 0 for pictures."""
    layout: SkeletonLayout | None = None
    """Joints and bones of skeletons; None for pictures and flow."""
    derived_from: Modality | None = None
    """The modality that is read and augmented before this one is computed from it (motion and bone from joint)."""
    score: bool = False
    """Whether the last channel of a skeleton is the joint's score, which is no coordinate."""

    @property
    def stored(self) -> Modality:
        """The modality that is read from the store."""
        return self.derived_from or self.modality

"""What is known of one video of a store."""

from attrs import frozen

from vimix.values.modality import Modality
from vimix.values.skeleton import SkeletonLayout


@frozen
class Video:
    """One video (or skeleton sequence): ``name`` is unique in its store.

    ``source`` is shared by siblings, clips that were cut from one recording (UCF101: ``v_X_gNN``);
    ``label`` indexes the store's class names, -1 if unknown; ``frames`` is the length of its shortest
    modality that the store can give (flow of T frames has T-1 fields: it is stored with the last one repeated,
    so that all modalities of a video have the same length).
    """

    name: str
    label: int
    source: str
    frames: int
    rate: float
    """Frames a second."""


@frozen
class ModalityFormat:
    """How a modality lies in a store: ``channels`` and size of a frame as read, ``[T, H, W, C]`` uint8.

    ``bound`` is the displacement in pixels that stands for ±1 (flow), 0 for pictures.
    ``extra`` is free text for the record, such as the flow estimator's name and settings.
    With a ``layout`` frames are skeletons, ``[T, V, M, 3]`` float32: V joints of M persons in metres, persons that are
    not seen all zero. ``derived_from`` names the modality that is read, and that the clip is made from once it is
    augmented (motion and bone from joint).
    """

    modality: Modality
    channels: int
    bound: float = 0.0
    extra: str = ""
    layout: SkeletonLayout | None = None
    derived_from: Modality | None = None

    @property
    def stored(self) -> Modality:
        """The modality to ask the store for."""
        return self.derived_from or self.modality

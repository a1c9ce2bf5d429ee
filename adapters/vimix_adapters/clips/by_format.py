"""The augmentation that a modality's format needs."""

from vimix.values.video import ModalityFormat
from vimix_adapters.clips.augmentation import ClipAugmentation, FlowAugmentation, PictureAugmentation
from vimix_adapters.clips.skeleton_augmentation import SkeletonAugmentation
from vimix_adapters.config.augment_settings import AugmentSettings, SkeletonAugmentSettings


def augmentation_of(
    kind: ModalityFormat,
    frames: AugmentSettings | None = None,
    skeletons: SkeletonAugmentSettings | None = None,
) -> ClipAugmentation:
    """Return the augmentation for a modality stored as ``kind``: a skeleton, flow (it has a bound) or pictures.

    The settings default to those of the method. Evaluation does not use them.
    """
    if kind.layout is not None:
        return SkeletonAugmentation(kind, skeletons or SkeletonAugmentSettings())
    settings = frames or AugmentSettings()
    return FlowAugmentation(settings) if kind.bound else PictureAugmentation(settings)

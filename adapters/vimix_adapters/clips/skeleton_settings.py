"""How skeletons are turned into what a store holds."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from attrs.validators import ge, in_

from vimix.values.modality import BONE, JOINT, MOTION, Modality
from vimix.values.skeleton import SkeletonLayout
from vimix.values.video import ModalityFormat


def _layout(value: SkeletonLayout | Mapping[str, Any]) -> SkeletonLayout:
    return value if isinstance(value, SkeletonLayout) else SkeletonLayout(**value)


@frozen
class SkeletonSettings:
    """The recorded layout, and the choices of the preparation. The layout is whole: a store opens alone."""

    layout: SkeletonLayout = field(converter=_layout)
    frames: int = field(default=50, validator=ge(2))
    """To which every sequence is resized."""
    persons: int = field(default=2, validator=ge(1))
    denoise: str = field(default="none", validator=in_(("none", "energy", "pyskl")))
    """Which of the recorded bodies are the persons."""
    align: str = field(default="shoulders", validator=in_(("none", "shoulders")))

    @property
    def formats(self) -> dict[Modality, ModalityFormat]:
        """One array is stored, joint; motion and bone are made from it."""
        about = f"{self.layout.name}, denoise = {self.denoise}, align = {self.align}"
        return {
            modality: ModalityFormat(
                modality,
                channels=3,
                extra=about,
                layout=self.layout,
                derived_from=None if modality == JOINT else JOINT,
            )
            for modality in (JOINT, MOTION, BONE)
        }

"""Pictures of the videos of a store: frames, flow in colours, stick figures; and short clips of them."""

import numpy as np
from numpy.typing import NDArray

from vimix.ports.clips import Frames, VideoStore
from vimix.values.modality import FLOW, Modality
from vimix.values.video import ModalityFormat
from vimix_adapters.flow.fields import dequantise, flow_colours, full_speed
from vimix_adapters.reports.page.moving import animated_webp, clip_window
from vimix_adapters.reports.sticks import stick_figures


def pictures(
    store: VideoStore, video: int, modality: Modality, start: int, count: int, step: int = 1
) -> NDArray[np.uint8]:
    """Frames start, start+step, ... of ``count`` frames of a video as uint8 [T, H, W, 3], R, G, B.

    Flow is drawn in colours, skeletons as stick figures. Raises VimixError if the video cannot be read.
    """
    kind = store.formats[modality]
    return drawn(store.read(video, kind.stored, start, count)[::step], kind)


def drawn(frames: Frames, kind: ModalityFormat) -> NDArray[np.uint8]:
    """Frames as a store holds them as uint8 [T, H, W, 3], R, G, B."""
    if kind.layout is not None:
        return stick_figures(frames, kind.layout, down=kind.channels - kind.score == 2)
    if kind.modality == FLOW:
        fields = dequantise(frames, kind.bound)
        return flow_colours(fields, full_speed(fields))
    return frames if frames.shape[-1] == 3 else np.repeat(frames[..., :1], 3, axis=-1)


def encoded_clip(store: VideoStore, video: int, modality: Modality) -> bytes:
    """The middle of a video as a small animated WebP. Raises VimixError if the video cannot be read."""
    about = store.videos[video]
    window = clip_window(about.frames, about.rate)
    shown = pictures(store, video, modality, window.start, window.reach, window.step)
    return animated_webp(shown, window.milliseconds)

"""The Weizmann silhouettes as grey videos, with a split by person: a small real set for trying things.

    python experiments/weizmann_videos.py weizmann_silhouettes.mat OUT

writes ``OUT/videos/ACTION/PERSON_ACTION.mp4`` and ``OUT/splits.csv`` for ``vimix prepare folder``. The file is the
authors' ``classification_masks.mat``: 93 silhouette sequences, 10 actions, 9 persons, 144 × 180 pixels at 25 frames/s.
"""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from vimix_adapters.synth.encode import choose_codec, write_video

HELD_OUT = ("shahar", "moshe", "lyova")
RATE = 25


def main(source: Path, out: Path) -> None:
    """Convert all sequences."""
    masks = loadmat(source)["original_masks"][0, 0]
    codec = choose_codec()
    rows = []
    for field in masks.dtype.names:
        person, action = name_of(field)
        path = Path(action) / f"{field}.mp4"
        (out / "videos" / action).mkdir(parents=True, exist_ok=True)
        write_video(out / "videos" / path, np.stack(list(pictures(masks[field]))), RATE, codec)
        rows.append((path.as_posix(), action, "test" if person in HELD_OUT else "train"))
    with (out / "splits.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    print(f"{len(rows)} videos in {out}")


def name_of(field: str) -> tuple[str, str]:
    """``lena_run2`` is lena's second run; wave1 and wave2 (with one arm, with both) are classes."""
    person, action = field.split("_")
    return person, action if action.startswith("wave") else re.sub(r"\d$", "", action)


def pictures(masks: np.ndarray) -> Iterator[np.ndarray]:
    """Frames uint8 [144, 180, 3] of masks [144, 180, T]: light figures on a dark ground."""
    for frame in np.moveaxis(masks, -1, 0):
        yield np.repeat((40 + 160 * frame.astype(np.uint8))[..., None], 3, axis=-1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))

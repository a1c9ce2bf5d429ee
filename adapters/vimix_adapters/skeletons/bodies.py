"""Which of the recorded bodies are the persons (``--denoise``): three named choices.

``none``: the first in the order of the file, in each frame anew (CrosSCLR).
``energy``: the bodies that move most: variance over time, summed over joints and axes.
``pyskl``: short tracks and tracks that are wider than a person are dropped, and the rest, in order of its extent, is
packed into tracks that do not overlap (pyskl's ``ntu_preproc``, with two differences: frames are the recorded ones
where it closes gaps, and where it would drop every body the first stays).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import RawSequence

Array = NDArray[np.float64]

SHORTEST = 12
"""Frames that pyskl asks of a body, where there are several."""
WIDEST = 0.8
"""Width by height of a body, above which pyskl calls a frame noise."""
NOISIEST = 0.69754
"""Share of such frames from which on pyskl drops a body."""


@frozen(eq=False)
class _Track:
    """One body: its frames [F] and joints [F, V, 3]."""

    frames: NDArray[np.int64]
    joints: Array

    @property
    def extent(self) -> float:
        """pyskl's "motion": the variance of all its points, summed over the axes."""
        return _extent(self.joints)


def chosen_persons(raw: RawSequence, persons: int, denoise: str) -> Array:
    """[T, persons, V, 3], zero where a person is not seen; frames in which nobody is left are left out.

    Raises VimixError if nobody is left in any: the first of a file may be a place that is kept for nobody.
    """
    length = int(raw.frame[-1]) + 1
    result = np.zeros((length, persons, *raw.joints.shape[1:]))
    for place, track in CHOICES[denoise](raw, persons):
        result[track.frames, place] = track.joints
    seen = result.any(axis=(1, 2, 3))
    if not seen.any():
        raise VimixError(
            f"the first {persons} of each frame's bodies are all zero (--denoise {denoise}): choose --denoise energy, "
            "or more --persons"
        )
    return result[seen]


def _in_file_order(raw: RawSequence, persons: int) -> list[tuple[int, _Track]]:
    slots = [raw.slot == place for place in range(persons)]
    return [(place, _Track(raw.frame[rows], raw.joints[rows])) for place, rows in enumerate(slots)]


def _by_energy(raw: RawSequence, persons: int) -> list[tuple[int, _Track]]:
    ranked = sorted(_tracks(raw), key=lambda track: -float(track.joints.var(axis=0).sum()))
    return list(enumerate(ranked[:persons]))


def _like_pyskl(raw: RawSequence, persons: int) -> list[tuple[int, _Track]]:
    tracks = sorted(_tracks(raw), key=lambda track: -track.extent)
    if len(tracks) > 1:
        long = [track for track in tracks if len(track.frames) >= SHORTEST] or tracks[:1]
        tracks = long if len(long) == 1 else _narrow(long)
    return _packed(tracks, persons)


CHOICES: Mapping[str, Callable[[RawSequence, int], list[tuple[int, _Track]]]] = {
    "none": _in_file_order,
    "energy": _by_energy,
    "pyskl": _like_pyskl,
}


def _tracks(raw: RawSequence) -> list[_Track]:
    """The bodies in order of appearance."""
    numbers = dict.fromkeys(raw.body.tolist())
    return [_Track(raw.frame[raw.body == number], raw.joints[raw.body == number]) for number in numbers]


def _extent(joints: Array) -> float:
    return float(joints.reshape(-1, 3).var(axis=0).sum())


def _narrow(tracks: Sequence[_Track]) -> list[_Track]:
    """Without bodies that are mostly too wide; in order of the extent that their other frames tell."""
    kept = []
    for track in tracks:
        spread = np.ptp(track.joints, axis=1)
        good = spread[:, 0] <= WIDEST * spread[:, 1]
        if 1 - good.mean() < NOISIEST:
            kept.append((min(track.extent, _extent(track.joints[good])), track))
    return [track for _, track in sorted(kept, key=lambda pair: -pair[0])] or list(tracks[:1])


def _packed(tracks: Sequence[_Track], persons: int) -> list[tuple[int, _Track]]:
    """Each body into the first place whose bodies it does not meet; those without one are left out."""
    taken: list[tuple[int, int] | None] = [None] * persons
    placed = []
    for track in tracks:
        first, last = int(track.frames[0]), int(track.frames[-1]) + 1
        for place, span in enumerate(taken):
            if span is None or max(span[0], first) >= min(span[1], last):
                taken[place] = (first, last) if span is None else (min(span[0], first), max(span[1], last))
                placed.append((place, track))
                break
    return placed

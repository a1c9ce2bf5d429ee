"""Choosing the persons among the recorded bodies (``--denoise``).

``none``: the first bodies of each frame, in the order of the file (CrosSCLR).
``energy``: the bodies that move most, by variance over time, summed over joints and axes.
``pyskl``: short tracks and tracks wider than a person are dropped. The others, in order of extent, are assigned to
persons so that the tracks of a person do not overlap. This is pyskl's ``ntu_preproc`` with two differences: gaps in
the recorded frames are kept, and if all bodies would be dropped, the first is kept.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import Array, RawSequence

SHORTEST = 12
"""Fewest frames of a body that pyskl keeps, if there are several bodies."""
WIDEST = 0.8
"""Width/height of a body above which pyskl counts a frame as noise."""
NOISIEST = 0.69754
"""Share of such frames from which pyskl drops a body."""


@frozen(eq=False)
class _Track:
    """One body: frame numbers [F], coordinates [F, V, D], NaN where not found, and scores [F, V, 1], or [F, V, 0]."""

    frames: NDArray[np.int64]
    joints: Array
    scores: Array


def chosen_persons(raw: RawSequence, persons: int, denoise: str) -> Array:
    """Return the joints [T, persons, V, C], zero where a person is absent. Frames without persons are dropped.

    C are the coordinates, NaN where the joint was not found, then the score if the recording has scores.
    Raises VimixError if no frame has a person. This can happen because a file may list an empty body first.
    """
    length = int(raw.frame[-1]) + 1
    columns = raw.joints.shape[2] + (raw.scores is not None)
    result = np.zeros((length, persons, raw.joints.shape[1], columns))
    for person, track in CHOICES[denoise](raw, persons):
        result[track.frames, person] = np.concatenate([track.joints, track.scores], axis=2)
    seen = result.any(axis=(1, 2, 3))
    if not seen.any():
        raise VimixError(
            f"the first {persons} of each frame's bodies are all zero (--denoise {denoise}): choose --denoise energy, "
            "or more --persons"
        )
    return result[seen]


def _in_file_order(raw: RawSequence, persons: int) -> list[tuple[int, _Track]]:
    return [(slot, _track(raw, raw.slot == slot)) for slot in range(persons)]


def _by_energy(raw: RawSequence, persons: int) -> list[tuple[int, _Track]]:
    ranked = sorted(_tracks(raw), key=lambda track: -float(np.nansum(_variance(track.joints))))
    return list(enumerate(ranked[:persons]))


def _like_pyskl(raw: RawSequence, persons: int) -> list[tuple[int, _Track]]:
    tracks = sorted(_tracks(raw), key=lambda track: -_extent(track.joints))
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
    """Return the bodies in order of appearance."""
    return [_track(raw, raw.body == number) for number in dict.fromkeys(raw.body.tolist())]


def _track(raw: RawSequence, rows: NDArray[np.bool_]) -> _Track:
    joints = raw.joints[rows]
    scores = joints[..., :0] if raw.scores is None else raw.scores[rows][..., None]
    return _Track(raw.frame[rows], joints, scores)


def _extent(joints: Array) -> float:
    """Variance of all points, summed over the axes; pyskl calls it "motion"."""
    return float(_variance(joints.reshape(-1, joints.shape[-1])).sum())


def _variance(values: Array) -> Array:
    """Variance along the first axis of the values that are not NaN; NaN where all are."""
    found = ~np.isnan(values)
    if found.all():
        return np.asarray(values.var(axis=0))
    return np.asarray(np.ma.masked_array(values, ~found).var(axis=0).filled(np.nan))


def _narrow(tracks: Sequence[_Track]) -> list[_Track]:
    """Drop bodies that are too wide in most frames, and sort the others by the extent of their remaining frames."""
    kept = []
    for track in tracks:
        spread = np.nanmax(track.joints, axis=1) - np.nanmin(track.joints, axis=1)
        good = spread[:, 0] <= WIDEST * spread[:, 1]
        if 1 - good.mean() < NOISIEST:
            kept.append((min(_extent(track.joints), _extent(track.joints[good])), track))
    return [track for _, track in sorted(kept, key=lambda pair: -pair[0])] or list(tracks[:1])


def _packed(tracks: Sequence[_Track], persons: int) -> list[tuple[int, _Track]]:
    """Assign each body to the first person whose bodies it does not overlap in time. Other bodies are dropped."""
    taken: list[tuple[int, int] | None] = [None] * persons
    assigned = []
    for track in tracks:
        first, last = int(track.frames[0]), int(track.frames[-1]) + 1
        for person, span in enumerate(taken):
            if span is None or max(span[0], first) >= min(span[1], last):
                taken[person] = (first, last) if span is None else (min(span[0], first), max(span[1], last))
                assigned.append((person, track))
                break
    return assigned

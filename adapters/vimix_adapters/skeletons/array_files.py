"""Arrays: vimix's own ``.npz``, any ``.npy`` whose axes are named, and the ``.npz`` of CTR-GCN (``x_train``, ...).

Vimix's own format is documented in docs/skeletons.md.
"""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import Array, Expected, RawSequence, SequenceEntry, sequence_of

AXES = "NTMVC"
"""Letters of the axes: sequences, frames, persons (bodies), joints (vertices), channels."""


@frozen(eq=False)
class ArrayFile:
    """An open file of arrays."""

    joints: NDArray[Any]
    axes: str
    """Axes of the joints, empty if the file does not name them."""
    channels: tuple[str, ...] | None = None
    scores: NDArray[Any] | None = None
    """Scores, with the axes of the joints but C."""
    samples: tuple[SequenceEntry, ...] = (SequenceEntry(""),)
    """The sequences, in the order of the file."""

    def read(self, name: str, expected: Expected) -> RawSequence:
        """Read a sequence. Raises VimixError if the axes do not fit the array or the layout."""
        if self.joints.dtype.kind not in "fiu":
            raise VimixError(f"expected an array of numbers, found {self.joints.dtype}")
        axes = self.axes or expected.axes or self._guessed(expected)
        self._check(axes)
        number = next((number for number, sample in enumerate(self.samples) if sample.name == name), 0)
        joints = _ordered(self.joints, axes, number)
        scores = None if self.scores is None else _ordered(self.scores, axes.replace("C", ""), number)[..., 0]
        if self.channels is not None:
            joints, scores = self._named(joints, scores)
        return sequence_of(joints, expected, scores)

    def _named(self, joints: Array, scores: Array | None) -> tuple[Array, Array | None]:
        """Split the channels by their names. Raises VimixError if they are not x y, with z or score or both."""
        names = list(self.channels or ())
        if len(names) != joints.shape[-1]:
            raise VimixError(f"channels names {len(names)} of {joints.shape[-1]} channels")
        coordinates = [name for name in names if name != "score"]
        if coordinates not in (["x", "y"], ["x", "y", "z"]):
            raise VimixError(f"channels {' '.join(names)}: expected x y or x y z, and perhaps score")
        if "score" in names:
            scores = joints[..., names.index("score")]
        return joints[..., [names.index(name) for name in coordinates]], scores

    def _guessed(self, expected: Expected) -> str:
        shape = self.joints.shape
        if len(shape) == 3 and shape[1] == expected.joints and shape[2] in (2, 3, 4):
            return "TVC"
        raise VimixError(
            f"an array of shape {shape} whose axes have no names: name them with --axes, such as --axes CTVM "
            "(T frames, M persons, V joints, C channels, N sequences)"
        )

    def _check(self, axes: str) -> None:
        wrong = set(axes) - set(AXES) or len(set(axes)) < len(axes) or not set("TVC") <= set(axes)
        if wrong or len(axes) != self.joints.ndim:
            raise VimixError(
                f"axes {axes} do not describe an array of shape {self.joints.shape}: expected one letter for each axis "
                "of T frames, V joints, C channels, and, if there are, M persons and N sequences"
            )


def open_array(data: bytes, axes: str = "") -> ArrayFile:
    """Open a ``.npy`` or ``.npz`` file; ``axes`` are those of an array that does not name its own.

    Raises VimixError if it has no array of joints. Pickled objects in it are not read.
    """
    try:
        loaded = np.load(io.BytesIO(data), allow_pickle=False)
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise VimixError(f"not an array of NumPy without pickled objects ({error})") from error
    if {"x_train", "y_train"} <= arrays.keys():
        return _ctrgcn(arrays)
    joints = arrays.get("joints", next(iter(arrays.values())) if len(arrays) == 1 else None)
    if joints is None:
        raise VimixError(f"expected an array named joints, found {', '.join(arrays)}")
    own = str(arrays["axes"]) if "axes" in arrays else ""
    own = own or ("TMVC" if "joints" in arrays and joints.ndim == 4 else "")
    channels = tuple(str(name) for name in arrays["channels"].ravel()) if "channels" in arrays else None
    samples = _samples(arrays, len(joints) if (own or axes).startswith("N") else 1)
    return ArrayFile(joints, own, channels, arrays.get("scores"), samples)


def _samples(arrays: Mapping[str, NDArray[Any]], count: int) -> tuple[SequenceEntry, ...]:
    """Return the samples, by ``names``, ``labels`` and ``splits`` where the file has them."""
    columns = {}
    for key in ("names", "labels", "splits"):
        column = arrays[key].reshape(-1).astype(str).tolist() if key in arrays else None
        if column is not None and len(column) != count:
            raise VimixError(f"{key} has {len(column)} items for {count} sequences")
        columns[key] = column
    names = columns["names"] or ([f"{number:06d}" for number in range(count)] if count > 1 else [""])
    if len(set(names)) < count:
        raise VimixError("names has a name twice")
    labels, splits = columns["labels"] or [None] * count, columns["splits"] or [""] * count
    return tuple(
        SequenceEntry(name, label, tuple(split.split(";")) if split else ())
        for name, label, split in zip(names, labels, splits, strict=True)
    )


def _ctrgcn(arrays: Mapping[str, NDArray[Any]]) -> ArrayFile:
    """CTR-GCN's ``NTU60_CS.npz``: sequences [N, T, M·V·C] of two bodies, and labels one-hot or as numbers."""
    parts, samples = [], []
    for split in ("train", "test"):
        if f"x_{split}" in arrays:
            joints, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
            if joints.ndim != 3 or joints.shape[2] % 6:
                raise VimixError(f"x_{split}: expected [N, T, 2·V·3], found {joints.shape}")
            numbers = labels.argmax(axis=1) if labels.ndim == 2 else labels
            parts.append(joints.reshape(*joints.shape[:2], 2, -1, 3))
            samples += [SequenceEntry(f"{split}-{i:06d}", str(int(label)), (split,)) for i, label in enumerate(numbers)]
    return ArrayFile(np.concatenate(parts), AXES, ("x", "y", "z"), None, tuple(samples))


def _ordered(values: NDArray[Any], axes: str, number: int) -> Array:
    """Return one sequence as [T, M, V, C]; an axis that is not there has length 1."""
    if "N" in axes:
        values, axes = np.take(values, number, axis=axes.index("N")), axes.replace("N", "")
    if values.ndim != len(axes):
        raise VimixError(f"an array of shape {values.shape} does not have the axes {axes}")
    for letter in AXES[1:]:
        if letter not in axes:
            values, axes = values[..., None], axes + letter
    return np.transpose(values, [axes.index(letter) for letter in AXES[1:]]).astype(np.float64)

"""Pickles of pyskl and mmaction2, read without running any code in them.

They hold lists of annotations, with or without the names of the splits: ``{"split": {"xsub_train": [...]},
"annotations": [{"frame_dir", "label", "total_frames", "keypoint" [M, T, V, C], "keypoint_score" [M, T, V]}]}``.
"""

import codecs
import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import Expected, RawSequence, SequenceEntry, sequence_of


def _latin(text: str, encoding: str) -> bytes:
    """Encode as pickles of protocol 2 do for bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return codecs.encode(text, "latin1")


_REDUCED: list[Any] = [np.empty(0).__reduce__(), np.empty(0).__reduce_ex__(5), np.float64(0).__reduce__()]
_NUMPY = {"ndarray": np.ndarray, "dtype": np.dtype, **{function.__name__: function for function, *_ in _REDUCED}}
"""Types and functions with which NumPy pickles arrays and numbers, by name."""


class _OnlyArrays(pickle.Unpickler):
    """An unpickler that makes arrays, numbers, texts and plain containers, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the type or function of that name. Raises UnpicklingError for any that arrays do not need."""
        if module.split(".")[0] == "numpy" and name in _NUMPY:
            return _NUMPY[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("_codecs", "encode"):
            return _latin
        raise pickle.UnpicklingError(f"it holds {module}.{name}, expected only arrays, numbers and texts")


@frozen(eq=False)
class PickleFile:
    """An open file of annotations, which are read by the names of its ``samples``."""

    annotations: Mapping[str, Mapping[str, Any]]
    samples: tuple[SequenceEntry, ...]

    def read(self, name: str, expected: Expected) -> RawSequence:
        """Read an annotation. Raises VimixError if it has no joints of the layout."""
        annotation = self.annotations[name or self.samples[0].name]
        if "keypoint" not in annotation:
            raise VimixError(f"expected an annotation with keypoint, found {', '.join(map(str, annotation))}")
        bodies, scores = _numbers(annotation["keypoint"]), annotation.get("keypoint_score")
        if bodies.ndim == 3:
            bodies = bodies[None]
        if bodies.ndim != 4 or bodies.shape[3] not in (2, 3):
            raise VimixError(f"keypoint: expected [M, T, V, 2 or 3], found {list(bodies.shape)}")
        if scores is not None:
            scores = _numbers(scores)
            scores = scores[None] if scores.ndim == 2 else scores
            if scores.shape != bodies.shape[:3]:
                raise VimixError(f"keypoint_score: expected {list(bodies.shape[:3])}, found {list(scores.shape)}")
            scores = scores.swapaxes(0, 1)
        if bodies.shape[3] == 3 and scores is None and expected.channels is None:
            expected = Expected(expected.joints, ("x", "y", "z"))  # pyskl's third coordinate without scores is z
        return sequence_of(bodies.swapaxes(0, 1), expected, scores)


def open_pickle(data: bytes) -> PickleFile:
    """Open a pickle. Raises VimixError if it holds more than arrays and plain containers, or no annotations."""
    try:
        content = _OnlyArrays(io.BytesIO(data)).load()
    except Exception as error:  # damaged pickles fail in any way
        raise VimixError(f"not a pickle that can be read safely: {error}") from error
    splits: Any = {}
    if isinstance(content, dict) and "annotations" in content:
        content, splits = content["annotations"], content.get("split", {})
    if isinstance(content, dict) and "keypoint" in content:
        content = [content]
    if not isinstance(content, list) or not content or not all(isinstance(item, dict) for item in content):
        raise VimixError(f"expected annotations as pyskl and mmaction2 write them, found {_kind(content)}")
    annotations = {_name(item, number): item for number, item in enumerate(content)}
    if len(annotations) < len(content):
        raise VimixError(f"{len(content) - len(annotations)} annotations have the name (frame_dir) of another one")
    return PickleFile(annotations, _samples(annotations, splits))


def _samples(annotations: Mapping[str, Mapping[str, Any]], splits: Any) -> tuple[SequenceEntry, ...]:
    members: dict[str, list[str]] = {}
    if not isinstance(splits, dict):
        raise VimixError("split: expected lists of names by split")
    for split, names in splits.items():
        try:
            listed = None if isinstance(names, str) else list(names)
        except TypeError:
            listed = None
        if listed is None:
            raise VimixError(f"split {split!r}: expected a list of names, found {type(names).__name__}")
        for name in listed:
            members.setdefault(str(name), []).append(str(split))
    return tuple(
        SequenceEntry(name, None if item.get("label") is None else str(item["label"]), tuple(members.get(name, ())))
        for name, item in annotations.items()
    )


def _name(annotation: Mapping[str, Any], number: int) -> str:
    return str(annotation.get("frame_dir") or annotation.get("filename") or f"{number:06d}")


def _numbers(value: Any) -> Any:
    try:
        return np.asarray(value).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise VimixError(f"expected arrays of numbers, found {type(value).__name__}") from error


def _kind(content: Any) -> str:
    if isinstance(content, dict):
        return f"a dict of {', '.join(map(str, list(content)[:5])) or 'nothing'}"
    return f"a {type(content).__name__}"

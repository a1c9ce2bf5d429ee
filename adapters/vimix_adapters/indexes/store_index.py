"""An index over the clips of a store that finds the videos, and the clips in them, most similar to a query."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from vimix.domain.scores.feature_scaling import centre, mean_row, unit_rows
from vimix.ports.neighbour_index import Neighbours
from vimix.values.errors import VimixError
from vimix.values.features import ClipFeatures
from vimix.values.video import Video
from vimix_adapters.archives import read_arrays, write_arrays
from vimix_adapters.files import require_file
from vimix_adapters.indexes.faiss_index import FaissIndex
from vimix_adapters.reading import parse_json
from vimix_adapters.structuring import structured

FORMAT = "vimix-clip-index-1"
EXPECTED = "an index made by vimix index build (build it again)"
ARRAYS = ("mean", "clip_videos", "starts", "ends")
"""Attributes of an index that its file holds as they are."""

Rows = NDArray[np.float32]


@frozen
class IndexedVideo:
    """A video of the index: its number in the store, its name, and its class (None if unknown)."""

    number: int
    name: str
    class_name: str | None


@frozen
class _Head:
    """The parts of the JSON head that are read."""

    videos: Sequence[IndexedVideo]
    about: Mapping[str, Any]


@frozen
class VideoMatch:
    """A video that is similar to the query, and its most similar clip."""

    video: IndexedVideo
    similarity: float
    """Largest cosine of a query clip and a clip of the video."""
    start: float
    """Start of the clip in the video, seconds."""
    end: float
    """End of the clip in the video, seconds."""


@frozen(eq=False)
class ClipIndex:
    """A searchable store. On disk it is one ``.npz`` file with the FAISS index as bytes, arrays, and a JSON head."""

    index: FaissIndex
    mean: Rows
    """Mean feature [D] float32, which is subtracted from every feature before the comparison."""
    clip_videos: NDArray[np.int64]
    """Position in ``videos`` of each clip's video, [M]."""
    starts: NDArray[np.float64]
    """Start of each clip in its video, seconds, [M]."""
    ends: NDArray[np.float64]
    """End of each clip in its video, seconds, [M]."""
    videos: tuple[IndexedVideo, ...]
    about: Mapping[str, Any]
    """Provenance as plain data: modality, checkpoint, store fingerprint, recipe as TOML, ..."""

    @classmethod
    def build(
        cls,
        features: ClipFeatures,
        videos: Sequence[Video],
        classes: Sequence[str],
        window: int,
        about: Mapping[str, Any],
    ) -> "ClipIndex":
        """Index clip features [M, D] of windows that span ``window`` frames.

        ``videos`` and ``classes`` are those of the store. ``about`` is plain data that is stored unchanged.
        """
        numbers, clip_videos = np.unique(features.videos, return_inverse=True)
        mean = mean_row(features.features)
        index = FaissIndex(features.features.shape[1])
        index.add(unit_rows(centre(features.features, mean)))
        rates = np.array([videos[number].rate for number in features.videos])
        last = np.array([videos[number].frames for number in features.videos])
        return cls(
            index=index,
            mean=mean,
            clip_videos=clip_videos.astype(np.int64),
            starts=features.starts / rates,
            ends=np.minimum(features.starts + window, last) / rates,
            videos=tuple(
                IndexedVideo(int(number), video.name, classes[video.label] if video.label >= 0 else None)
                for number, video in ((number, videos[number]) for number in numbers)
            ),
            about=dict(about),
        )

    def __len__(self) -> int:
        """Number of clips M."""
        return len(self.index)

    def query(self, features: Rows, k: int) -> tuple[VideoMatch, ...]:
        """Return the min(k, videos) videos most similar to the query, best first, ties in the order of the store.

        ``features`` [Q, D] or [D] float32 are the encoder's output for the query's clips. The similarity of a video is
        that of the most similar pair of a query clip and one of its clips. Raises ValueError if k < 1, if there is no
        query clip, or for another D.
        """
        return self._search(features, min(k, len(self.videos)), 4 * k, self._best_by_video)

    def moments(self, features: Rows, k: int) -> tuple[VideoMatch, ...]:
        """Return the k moments most similar to the query, best first, fewer if there are no more.

        ``features`` are as for ``query``, and so are the errors. A moment is a clip; a clip that overlaps a better one
        of the same video is left out.
        """
        return self._search(features, k, 16 * k, self._apart)

    def _search(
        self, features: Rows, k: int, reach: int, collect: Callable[[Neighbours], list[VideoMatch]]
    ) -> tuple[VideoMatch, ...]:
        """The k best matches that ``collect`` finds among the ``reach`` nearest clips, or among more if need be."""
        rows = np.atleast_2d(features)
        if len(rows) == 0 or rows.shape[1] != len(self.mean):
            raise ValueError(f"expected query features [Q, {len(self.mean)}], got {features.shape}")
        queries = unit_rows(centre(rows, self.mean))
        while True:
            nearest = self.index.search(queries, reach)
            # No other clip is more similar to a query clip than the last of that query clip's neighbours.
            bound = float(nearest.similarities[:, -1].max()) if reach < len(self) else -np.inf
            sure = [match for match in collect(nearest) if match.similarity > bound]
            if len(sure) >= k or reach >= len(self):
                return tuple(sure[:k])
            reach *= 4

    def save(self, path: Path) -> None:
        """Write the index to one file, atomically."""
        head = {"format": FORMAT, "videos": [asdict(video) for video in self.videos], "about": dict(self.about)}
        arrays: dict[str, NDArray[Any]] = {
            "faiss": self.index.to_bytes(),
            **{name: getattr(self, name) for name in ARRAYS},
            "head": np.frombuffer(json.dumps(head, ensure_ascii=False).encode(), np.uint8),
        }
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "ClipIndex":
        """Open a file that ``save`` wrote. Raises VimixError naming the file if it is missing, damaged or no index."""
        require_file(path, "index", "build one with vimix index build")
        arrays = read_arrays(path, ("faiss", *ARRAYS, "head"), EXPECTED)
        head = parse_json(arrays["head"].tobytes(), str(path), EXPECTED)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            found = head.get("format") if isinstance(head, dict) else type(head).__name__
            raise VimixError(f"{path}: index format {found!r}, expected {FORMAT!r}; build it again")
        described = structured(head, _Head, path, EXPECTED)
        return cls(
            index=FaissIndex.from_bytes(arrays["faiss"], str(path)),
            videos=tuple(described.videos),
            about=described.about,
            **{name: arrays[name] for name in ARRAYS},
        )

    def _apart(self, nearest: Neighbours) -> list[VideoMatch]:
        """The matches, most similar first, ties in the order of the clips, without clips that overlap a better one."""
        chosen: list[VideoMatch] = []
        taken: dict[int, list[tuple[float, float]]] = {}
        for pair in np.lexsort((nearest.ids.ravel(), -nearest.similarities.ravel())):
            match = self._match(nearest, pair)
            spans, start, end = taken.setdefault(match.video.number, []), match.start, match.end
            if (start, end) in spans or any(start < stop and begin < end for begin, stop in spans):
                continue
            spans.append((start, end))
            chosen.append(match)
        return chosen

    def _best_by_video(self, nearest: Neighbours) -> list[VideoMatch]:
        """The best match of each video, most similar first, ties in the order of the store."""
        videos = self.clip_videos[nearest.ids.ravel()]
        order = np.lexsort((videos, -nearest.similarities.ravel()))
        firsts = np.sort(np.unique(videos[order], return_index=True)[1])
        return [self._match(nearest, pair) for pair in order[firsts]]

    def _match(self, nearest: Neighbours, pair: int) -> VideoMatch:
        """The pair of a query clip and one of its neighbours with this number, counted row by row."""
        clip = nearest.ids.flat[pair]
        return VideoMatch(
            video=self.videos[self.clip_videos[clip]],
            similarity=float(nearest.similarities.flat[pair]),
            start=float(self.starts[clip]),
            end=float(self.ends[clip]),
        )

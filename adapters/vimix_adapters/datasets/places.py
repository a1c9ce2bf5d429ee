"""Places of the videos of a list on the disk."""

import os
from pathlib import Path, PurePosixPath

from attrs import field, frozen

from vimix.values.errors import VimixError
from vimix.values.segment import Segment
from vimix_adapters.datasets.listing import VIDEO_ENDINGS, is_folder
from vimix_adapters.image_names import is_pattern


@frozen
class Place:
    """A video file, or a folder of frames, and the name of the clip."""

    path: Path
    name: str
    pattern: str = ""
    """Pattern of the images in a folder of frames, if the list names one."""


@frozen
class Places:
    """Finds the paths of a list, which are below ``folder`` or absolute."""

    folder: Path
    _seen: dict[Path, dict[str, list[str]]] = field(factory=dict, init=False, eq=False)

    def find(self, text: str, line: str) -> Place:
        """Find a video file, a folder of frames, or a pattern of frames (``clip/img_%05d.jpg``).

        A path without ending takes the video of that name. An absolute path that does not exist, because the list comes
        from another machine, is looked for below ``folder`` by its last parts. A file that is not found keeps
        the path of the list. Raises VimixError for a path that leads out of the folder, or fits two files.
        """
        path = PurePosixPath(text)
        if ".." in path.parts or not path.parts:
            raise VimixError(f"{line}: {text} must be a path below {self.folder}, or an absolute one")
        found = self._lookup(path, line)
        name = found.relative_to(self.folder) if found.is_relative_to(self.folder) else found.relative_to(found.anchor)
        if is_pattern(path.name):
            return Place(found.parent, name.as_posix(), path.name)
        return Place(found, name.as_posix())

    def _lookup(self, path: PurePosixPath, line: str) -> Path:
        candidates = [self.folder / path]
        if path.is_absolute():
            candidates += [self.folder.joinpath(*path.parts[start:]) for start in range(1, len(path.parts))]
        for candidate in candidates:
            if os.path.lexists(candidate.parent if is_pattern(path.name) else candidate):
                return candidate
            if videos := [] if is_pattern(path.name) else self._of_stem(candidate):
                if len(videos) > 1:
                    raise VimixError(f"{line}: {path} fits {videos[0]} and {videos[1]}: name one with its ending")
                return candidate.with_name(videos[0])
        return candidates[0]

    def _of_stem(self, path: Path) -> list[str]:
        """Return the videos whose name without ending is that of the path."""
        if path.suffix.lower() in VIDEO_ENDINGS:
            return []
        if path.parent not in self._seen:
            self._seen[path.parent] = _videos_in(path.parent)
        return self._seen[path.parent].get(path.name, [])


def _videos_in(folder: Path) -> dict[str, list[str]]:
    """Return the names of the videos in a folder, by name without ending."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()) if is_folder(folder) else ():
        if path.suffix.lower() in VIDEO_ENDINGS and not path.name.startswith("."):
            found.setdefault(path.stem, []).append(path.name)
    return found


def with_segment(name: str, segment: Segment | None) -> str:
    """Return the name of a clip that is a part of a video: ``a.mp4`` from 1.2 to 2.8 s is ``a@1.2-2.8s.mp4``."""
    if segment is None:
        return name
    path = PurePosixPath(name)
    ending = path.suffix if path.suffix.lower() in VIDEO_ENDINGS else ""
    return f"{name.removesuffix(ending)}@{segment}{ending}"

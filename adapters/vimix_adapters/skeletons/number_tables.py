"""Text files of numbers, with or without a header: one joint per line, or one frame per line.

PKU-MMD has one frame per line (150 numbers: two bodies of 25 joints x y z), and so have most CSV files. Numbers
are separated by white space, commas or semicolons; an empty cell is a joint that was not found.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import Array, Expected, RawSequence, raw_sequence, sequence_of, split_channels

_SCORES = ("visibility", "vis", "score", "confidence", "conf", "v", "c")
_COLUMN = re.compile(rf"(?:(.*?)[_. -])?(x|y|z|{'|'.join(_SCORES)})[_. -]?(\d*)")
_FRAMES = ("frame", "frame_id", "frame_index", "frame_number", "frame_no", "frame_num", "image_id")
_PEOPLE = ("person", "person_id", "body", "body_id", "track_id", "pose_id")


@frozen(eq=False)
class _Table:
    """The lines of a text: names of the columns, if a head line has them, and the numbers [lines, W]."""

    names: tuple[str, ...]
    numbers: Array
    first: int
    """Number of the first line of numbers, from 1."""

    def column(self, names: Sequence[str]) -> Array | None:
        """Return the column with one of these names."""
        for name in names:
            if name in self.names:
                return np.asarray(self.numbers[:, self.names.index(name)])
        return None


def parse_table(data: bytes, expected: Expected) -> RawSequence:
    """Parse lines of numbers. Raises VimixError naming the line, or what was found, for other content.

    Head lines may name the columns: ``x0,y0,z0,v0,x1,...`` or ``NOSE_x,NOSE_y,...`` for a frame a line, ``frame,x,y,z``
    for a joint a line; then other columns are not used. Without names, V joints of C = 3, 2 or 4 numbers are
    recognised by the length of the lines: C, V·C, a multiple of V·C (several bodies), or one more (the frame's number).
    """
    lines = data.decode("utf-8-sig", "replace").splitlines()
    if not any(line.strip() for line in lines):
        raise VimixError("empty file")
    if re.fullmatch(r"\s*\d+\s+\d+\s*", lines[0]) and len(lines) > 2 and re.fullmatch(r"\s*\d+\s*", lines[1]):
        return _blocks(lines, expected)
    table = _table(lines)
    places = [_COLUMN.fullmatch(name.lower()) for name in table.names]
    if "x" in table.names:
        return _joint_a_line(table, [table.names.index(name) for name in _channels(table.names)], expected)
    if any(place is not None for place in places):
        return _named(table, places, expected)
    return _unnamed(table, expected)


def _table(lines: Sequence[str]) -> _Table:
    names: tuple[str, ...] = ()
    rows: list[list[float]] = []
    first = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = _cells(line)
        try:
            row = [float(cell) if cell else np.nan for cell in cells]
        except ValueError as error:
            if rows or names:
                raise VimixError(f"line {number}: expected numbers, found {line.strip()[:40]!r}") from error
            names = tuple(cell.strip("\"'").lower() for cell in cells)
            continue
        if rows and len(row) != len(rows[0]):
            raise VimixError(f"line {number}: {len(row)} numbers in a line, the lines before have {len(rows[0])}")
        first = first or number
        rows.append(row)
    if not rows:
        raise VimixError("no line has numbers")
    if names and len(names) != len(rows[0]):
        names = ()  # a title, not the names of the columns
    return _Table(names, np.array(rows, dtype=np.float64), first)


def _cells(line: str) -> list[str]:
    for separator in (",", ";"):
        if separator in line:
            return [cell.strip() for cell in line.split(separator)]
    return line.split()


def _channels(names: Sequence[str]) -> list[str]:
    """Return the names of a joint's own columns, in order x y z score."""
    found = [name for name in ("x", "y", "z") if name in names]
    return found + [name for name in _SCORES if name in names][:1]


def _joint_a_line(table: _Table, columns: Sequence[int], expected: Expected) -> RawSequence:
    """V lines a frame; a column may number the frames and the persons."""
    joints, count = expected.joints, len(table.numbers)
    if count % joints:
        raise VimixError(
            f"line {table.first + count - 1}: the last frame has {count % joints} of {joints} joints "
            f"({table.numbers.shape[1]} numbers in a line, a line for each joint)"
        )
    values = table.numbers[:, columns].reshape(-1, joints, len(columns))
    named = [table.names[column] for column in columns] if table.names else None
    coordinates, scores = _split(values, named, expected)
    starts = slice(None, None, joints)
    frame, person = table.column(_FRAMES), table.column(_PEOPLE)
    frames = np.arange(len(values)) if frame is None else _ranks(frame[starts])
    slots = _places(frames.tolist())
    bodies = slots if person is None else np.unique(person[starts], return_inverse=True)[1].tolist()
    return raw_sequence(frames, bodies, slots, coordinates, scores)


def _places(frames: Sequence[int]) -> list[int]:
    """Return the place of each body among those of its frame."""
    counts: Counter[int] = Counter()
    places = []
    for frame in frames:
        places.append(counts[frame])
        counts[frame] += 1
    return places


def _split(values: Array, names: Sequence[str] | None, expected: Expected) -> tuple[Array, Array | None]:
    """Split values [N, V, C] by the names of their columns, or by their number if they have none."""
    if names is None:
        return split_channels(values, expected)
    scored = names[-1] in _SCORES
    coordinates = values[..., : len(names) - scored]
    if coordinates.shape[-1] < 2:
        raise VimixError(f"columns {', '.join(names)}: expected x, y, perhaps z, and perhaps a score")
    return coordinates, values[..., -1] if scored else None


def _ranks(numbers: Array) -> NDArray[np.int64]:
    """Number frames from 0; gaps remain if they are numbered by whole numbers, and not by times."""
    if np.isnan(numbers).any():
        raise VimixError("a frame without number")
    if (numbers == np.rint(numbers)).all() and np.ptp(numbers) < 10 * len(numbers) + 10:
        return np.asarray(numbers - numbers.min(), dtype=np.int64)
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _named(table: _Table, places: Sequence[re.Match[str] | None], expected: Expected) -> RawSequence:
    """A frame a line, whose head names the joint and the channel of each column."""
    columns: dict[str, dict[str, int]] = {}
    for number, place in enumerate(places):
        if place is not None and (place[1] or place[3]):
            channel = "score" if place[2] in _SCORES else place[2]
            columns.setdefault(f"{place[1] or ''} {place[3]}", {})[channel] = number
    joints = {joint: found for joint, found in columns.items() if {"x", "y"} <= found.keys()}
    if len(joints) != expected.joints:
        raise VimixError(f"the head line names x and y of {len(joints)} joints, the layout has {expected.joints}")
    shared = set.intersection(*(set(found) for found in joints.values()))
    order = [channel for channel in ("x", "y", "z", "score") if channel in shared]
    values = table.numbers[:, [found[channel] for found in joints.values() for channel in order]]
    coordinates, scores = _split(values.reshape(len(values), expected.joints, -1), order, expected)
    frame = table.column(_FRAMES)
    frames = np.arange(len(values)) if frame is None else _ranks(frame)
    zeros = np.zeros(len(values), dtype=np.int64)
    return raw_sequence(frames, zeros, zeros, coordinates, scores)


def _unnamed(table: _Table, expected: Expected) -> RawSequence:
    """Recognise the lines by their length."""
    count, joints = table.numbers.shape[1], expected.joints
    sizes = (len(expected.channels),) if expected.channels else (3, 2, 4)
    for size in sizes:
        if count % (joints * size) == 0:
            return sequence_of(table.numbers.reshape(len(table.numbers), -1, joints, size), expected)
    numbered = np.diff(table.numbers[:, 0])
    for size in sizes:
        if count > 1 and (count - 1) % (joints * size) == 0 and (numbered > 0).all():
            return sequence_of(table.numbers[:, 1:].reshape(len(table.numbers), -1, joints, size), expected)
    if 2 <= count <= 6:
        return _joint_a_line(table, range(count), expected)
    raise VimixError(
        f"line {table.first}: {count} numbers in a line: expected 2 or 3 for each joint, or those of a whole frame "
        f"({2 * joints} or {3 * joints} for each body of {joints} joints, as the layout has)"
    )


def _blocks(lines: Sequence[str], expected: Expected) -> RawSequence:
    """MSRDailyActivity3D's text: the numbers of frames and joints; for each frame the number of lines that follow.

    Each joint has two lines: x y z confidence in the world, and in the picture, which is not used.
    """
    declared, joints = (int(word) for word in lines[0].split())
    if joints != expected.joints:
        raise VimixError(f"line 1: {joints} joints, the layout has {expected.joints}")
    frames, slots, rows = [], [], []
    at = 1
    for frame in range(declared):
        if at >= len(lines) or not lines[at].strip().isdigit():
            raise VimixError(f"line {at + 1}: expected the number of lines of frame {frame + 1}")
        count = int(lines[at])
        block = lines[at + 1 : at + 1 + count]
        if len(block) < count or count % (2 * joints):
            raise VimixError(f"line {at + 1}: expected {2 * joints} lines for each body, found {len(block)} of {count}")
        for body in range(count // (2 * joints)):
            rows.append(_points(block[2 * joints * body : 2 * joints * (body + 1) : 2], at + 2))
            frames.append(frame)
            slots.append(body)
        at += 1 + count
    return raw_sequence(frames, slots, slots, np.array(rows, dtype=np.float64).reshape(-1, joints, 3))


def _points(lines: Sequence[str], first: int) -> list[list[float]]:
    try:
        points = [[float(cell) for cell in _cells(line)[:3]] for line in lines]
    except ValueError as error:
        raise VimixError(f"line {first}: expected lines x y z confidence ({error})") from error
    if any(len(point) != 3 for point in points):
        raise VimixError(f"line {first}: expected lines x y z confidence, found fewer numbers")
    return points

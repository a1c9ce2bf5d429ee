"""Parsers of skeleton files: NTU RGB+D's ``.skeleton``, and rows of joints (MSRAction3D's ``*_skeleton3D.txt``)."""

import stat
from pathlib import Path

import numpy as np

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import RawSequence, raw_sequence

ENDINGS = (".skeleton", ".txt")
BODY_VALUES, JOINT_VALUES = 10, 12
MOST_LINES = 4_000_000
"""Limit of the lines of a file: each takes some 100 bytes of memory, however short it is."""
LARGEST = 2**28
"""Size limit in bytes. The longest recordings of NTU RGB+D have about 10 MB."""


def read_skeletons(path: Path, joints: int) -> RawSequence:
    """Read the file's bodies of ``joints`` joints. Raises VimixError with the reason and, if there is one, the line."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):  # opening a FIFO would wait for ever
            raise VimixError("not a regular file")
        if state.st_size > LARGEST:
            raise VimixError(f"{state.st_size} bytes: no skeleton file is larger than {LARGEST}")
        data = path.read_bytes()
    except OSError as error:
        raise VimixError(f"cannot be opened: {error.strerror}") from error
    return parse_ntu(data, joints) if path.suffix == ".skeleton" else parse_rows(data, joints)


def parse_ntu(data: bytes, joints: int) -> RawSequence:
    """Parse NTU RGB+D's format.

    It has the number of frames; for each frame the number of bodies; for each body a line of 10 values (the first is
    its number), the number of joints, and for each joint a line of 12 values (x y z in metres, then image positions).
    Raises VimixError naming the line for any other content.
    """
    lines = _Lines(data)
    frame, body, slot, rows = [], [], [], []
    for number in range(lines.count("frames")):
        for position in range(lines.count("bodies")):
            tracked = lines.whole(lines.words(BODY_VALUES, "the values of a body")[0])
            if (count := lines.count("joints")) != joints:
                raise VimixError(f"line {lines.number}: {count} joints, the layout has {joints}")
            rows.append([lines.point(JOINT_VALUES, "the values of a joint") for _ in range(joints)])
            frame.append(number)
            body.append(tracked)
            slot.append(position)
    lines.end()
    return raw_sequence(frame, body, slot, np.array(rows, dtype=np.float64).reshape(-1, joints, 3))


def parse_rows(data: bytes, joints: int) -> RawSequence:
    """Parse the rows of one body: a line ``x y z`` for each joint, ``joints`` lines a frame.

    Further values in a line, such as a confidence, are ignored. Raises VimixError naming the line for other content.
    """
    lines = _Lines(data)
    rows = []
    while not lines.at_end:
        rows.append(lines.point(3, "x y z", more=True))
    if len(rows) % joints:
        raise VimixError(f"line {lines.number}: the last frame has {len(rows) % joints} of {joints} joints")
    frames = len(rows) // joints
    numbers, zeros = list(range(frames)), [0] * frames
    return raw_sequence(numbers, zeros, zeros, np.array(rows, dtype=np.float64).reshape(-1, joints, 3))


class _Lines:
    """Reads lines of numbers one by one. ``number`` is that of the last line read, from 1."""

    def __init__(self, data: bytes) -> None:
        if not data.strip():
            raise VimixError("empty file")
        if (lines := data.count(b"\n")) > MOST_LINES:
            raise VimixError(f"{lines:,} lines, the limit is {MOST_LINES:,}")
        self._lines = data.rstrip().split(b"\n")  # int, float and split treat a CR as white space
        self.number = 0

    @property
    def at_end(self) -> bool:
        return self.number >= len(self._lines)

    def _next(self, expected: str) -> bytes:
        if self.at_end:
            raise VimixError(f"truncated: after line {self.number} {expected} was expected")
        self.number += 1
        return self._lines[self.number - 1]

    def count(self, of: str) -> int:
        """Read a line with one number of at least 0."""
        line = self._next(f"the number of {of}")
        number = self.whole(line, f"the number of {of}")
        if number < 0:
            raise VimixError(f"line {self.number}: expected the number of {of}, found {_shown(line)}")
        return number

    def words(self, length: int, expected: str, more: bool = False) -> list[bytes]:
        """Read a line of ``length`` words, or at least as many with ``more``."""
        line = self._next(expected)
        parts = line.split()
        if len(parts) < length or (len(parts) > length and not more):
            raise VimixError(f"line {self.number}: expected {expected}, {length} numbers, found {_shown(line)}")
        return parts

    def point(self, length: int, expected: str, more: bool = False) -> list[float]:
        """Read a line of ``length`` words and return the first three as numbers."""
        parts = self.words(length, expected, more)[:3]
        try:
            return [float(part) for part in parts]
        except ValueError as error:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(b' '.join(parts))}") from error

    def whole(self, text: bytes, expected: str = "a body's number") -> int:
        """Parse an integer of 64 bits."""
        try:
            number = int(text)
        except ValueError as error:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(text)}") from error
        if abs(number) >= 2**63:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(text)}")
        return number

    def end(self) -> None:
        """Raise VimixError if lines are left."""
        if not self.at_end:
            raise VimixError(f"line {self.number + 1}: more lines than the declared frames have")


def _shown(text: bytes) -> str:
    return repr(text[:40].strip().decode("ascii", "replace"))

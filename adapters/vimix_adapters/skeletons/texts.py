"""Parser of NTU RGB+D's ``.skeleton`` files."""

from contextlib import suppress

import numpy as np

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import Expected, RawSequence, raw_sequence

BODY_VALUES, JOINT_VALUES = 10, 12
MOST_LINES = 4_000_000
"""Limit of the lines of a file: each takes some 100 bytes of memory, however short it is."""


def parse_ntu(data: bytes, expected: Expected) -> RawSequence:
    """Parse NTU RGB+D's format.

    It has the number of frames; for each frame the number of bodies; for each body a line of 10 values (the first is
    its number), the number of joints, and for each joint a line of 12 values (x y z in metres, then image positions).
    Raises VimixError naming the line for any other content.
    """
    lines, joints = _Lines(data), expected.joints
    frame, body, slot, rows = [], [], [], []
    for number in range(lines.count("frames")):
        for position in range(lines.count("bodies")):
            tracked = lines.whole(lines.words(BODY_VALUES, "the values of a body")[0])
            if (count := lines.count("joints")) != joints:
                raise VimixError(f"line {lines.number}: {count} joints, the layout has {joints}")
            rows.append([lines.point() for _ in range(joints)])
            frame.append(number)
            body.append(tracked)
            slot.append(position)
    lines.end()
    return raw_sequence(frame, body, slot, np.array(rows, dtype=np.float64).reshape(-1, joints, 3))


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

    def words(self, length: int, expected: str) -> list[bytes]:
        """Read a line of ``length`` words."""
        line = self._next(expected)
        parts = line.split()
        if len(parts) != length:
            raise VimixError(f"line {self.number}: expected {expected}, {length} numbers, found {_shown(line)}")
        return parts

    def point(self) -> list[float]:
        """Read the line of a joint and return its first three values as numbers."""
        expected = "the values of a joint"
        parts = self.words(JOINT_VALUES, expected)[:3]
        try:
            return [float(part) for part in parts]
        except ValueError as error:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(b' '.join(parts))}") from error

    def whole(self, text: bytes, expected: str = "a body's number") -> int:
        """Parse an integer of 64 bits."""
        with suppress(ValueError):
            number = int(text)
            if abs(number) < 2**63:
                return number
        raise VimixError(f"line {self.number}: expected {expected}, found {_shown(text)}")

    def end(self) -> None:
        """Raise VimixError if lines are left."""
        if not self.at_end:
            raise VimixError(f"line {self.number + 1}: more lines than the declared frames have")


def _shown(text: bytes) -> str:
    return repr(text[:40].strip().decode("ascii", "replace"))

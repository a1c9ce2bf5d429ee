"""Skeleton files: NTU RGB+D's ``.skeleton``, and rows of joints (MSRAction3D's ``*_skeleton3D.txt``)."""

import stat
from pathlib import Path

import numpy as np

from vimix.values.errors import VimixError
from vimix_adapters.skeletons.sequence import RawSequence, raw_sequence

ENDINGS = (".skeleton", ".txt")
BODY_VALUES, JOINT_VALUES = 10, 12
LARGEST = 2**28
"""Bytes; the longest recordings of NTU RGB+D have some 10 MB."""


def read_skeletons(path: Path, joints: int) -> RawSequence:
    """The file's bodies of ``joints`` joints. Raises VimixError with the reason, and the line where there is one."""
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
    """NTU RGB+D: the number of frames; for each the number of bodies; for each body a line of 10 values (the first is
    its number), the number of joints, and a line of 12 values a joint (x y z in metres, then places in the pictures).

    Raises VimixError naming the line, whatever the bytes are.
    """
    lines = _Lines(data)
    frame, body, slot, rows = [], [], [], []
    for number in range(lines.count("frames")):
        for place in range(lines.count("bodies")):
            tracked = lines.whole(lines.words(BODY_VALUES, "the values of a body")[0])
            if (found := lines.count("joints")) != joints:
                raise VimixError(f"line {lines.number}: {found} joints, the layout has {joints}")
            rows.append([lines.place(JOINT_VALUES, "the values of a joint") for _ in range(joints)])
            frame.append(number)
            body.append(tracked)
            slot.append(place)
    lines.end()
    return raw_sequence(frame, body, slot, np.array(rows, dtype=np.float64).reshape(-1, joints, 3))


def parse_rows(data: bytes, joints: int) -> RawSequence:
    """One body: a line ``x y z`` (and more, such as a confidence, which is not used) a joint, ``joints`` lines a frame.

    Raises VimixError naming the line, whatever the bytes are.
    """
    lines = _Lines(data)
    rows = []
    while not lines.at_end:
        rows.append(lines.place(3, "x y z", more=True))
    if len(rows) % joints:
        raise VimixError(f"line {lines.number}: the last frame has {len(rows) % joints} of {joints} joints")
    frames = len(rows) // joints
    numbers, zeros = list(range(frames)), [0] * frames
    return raw_sequence(numbers, zeros, zeros, np.array(rows, dtype=np.float64).reshape(-1, joints, 3))


class _Lines:
    """Lines one by one, as numbers; ``number`` is that of the last one, from 1."""

    def __init__(self, data: bytes) -> None:
        if not data.strip():
            raise VimixError("empty file")
        self._lines = data.rstrip().split(b"\n")  # a CR is white space to int, float and split
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
        """A line with one number of 0 or more."""
        line = self._next(f"the number of {of}")
        found = self.whole(line, f"the number of {of}")
        if found < 0:
            raise VimixError(f"line {self.number}: expected the number of {of}, found {_shown(line)}")
        return found

    def words(self, length: int, expected: str, more: bool = False) -> list[bytes]:
        """A line of that many words."""
        line = self._next(expected)
        parts = line.split()
        if len(parts) < length or (len(parts) > length and not more):
            raise VimixError(f"line {self.number}: expected {expected}, {length} numbers, found {_shown(line)}")
        return parts

    def place(self, length: int, expected: str, more: bool = False) -> list[float]:
        """The first three numbers of a line of ``length`` words; the others are not read."""
        parts = self.words(length, expected, more)[:3]
        try:
            return [float(part) for part in parts]
        except ValueError as error:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(b' '.join(parts))}") from error

    def whole(self, text: bytes, expected: str = "a body's number") -> int:
        """A whole number that fits into 64 bits."""
        try:
            number = int(text)
        except ValueError as error:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(text)}") from error
        if abs(number) >= 2**63:
            raise VimixError(f"line {self.number}: expected {expected}, found {_shown(text)}")
        return number

    def end(self) -> None:
        """Nothing may follow."""
        if not self.at_end:
            raise VimixError(f"line {self.number + 1}: more lines than the declared frames have")


def _shown(text: bytes) -> str:
    return repr(text[:40].strip().decode("ascii", "replace"))

"""Text for terminals: control characters in the name of a file or a video are shown and have no effect."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

_ACTIVE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and end of line, marks that reverse a text, and halves of characters."""


def printable(text: str) -> str:
    """Write the characters on which a terminal acts as Python does: ``\\x1b`` for the beginning of a sequence."""
    return _ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class PlainStream:
    """A text stream that writes ``printable`` text to ``stream``."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text."""
        self.stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def plain_streams() -> Iterator[None]:
    """Make standard output and error plain for all that prints."""
    out, err = (cast(TextIO, PlainStream(stream)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield


def coloured_stream(stderr: bool = False) -> TextIO:
    """Return standard output or error for a writer that colours its text, which must be ``printable`` before."""
    stream: Any = sys.stderr if stderr else sys.stdout
    plain: TextIO = stream.stream if isinstance(stream, PlainStream) else stream
    return plain

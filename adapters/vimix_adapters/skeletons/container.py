"""Files of several sequences."""

from typing import Protocol

from attrs import frozen

from vimix_adapters.skeletons.sequence import Expected, RawSequence


@frozen
class Sample:
    """One sequence of a file, with the class and splits that the file gives."""

    name: str
    """Unique in the file; empty if it has only one sequence."""
    label: str | None = None
    """Name or number of its class."""
    splits: tuple[str, ...] = ()


class Container(Protocol):
    """An open file of sequences."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The sequences, in the order of the file."""
        ...

    def read(self, name: str, expected: Expected) -> RawSequence:
        """Read the sequence of that name. Raises VimixError with the reason if it cannot be read."""
        ...

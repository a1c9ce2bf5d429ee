"""Limits on the sizes that a file may declare, checked before memory is taken."""

from vimix.values.errors import VimixError

MOST_PIXELS = 2**26
"""Pixels of a picture, twice those of 8K video."""
LONGEST_SECONDS = 86_400
"""Length of a video: a day."""


def require_at_most(number: float, limit: float, what: str) -> None:
    """Raise VimixError with the number and the limit if it is above the limit."""
    if not number <= limit:  # true for NaN too
        raise VimixError(f"{what}: {number:,.0f}, the limit is {limit:,.0f}")

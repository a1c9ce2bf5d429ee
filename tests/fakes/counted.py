"""A text that counts how often it is compared, so that a loop in a loop shows without a clock."""


class CountedText(str):
    comparisons = 0
    """Comparisons of all such texts with others."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        CountedText.comparisons += 1
        return str.__eq__(self, other)

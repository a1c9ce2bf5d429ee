"""What a skeleton looks like: plain data, so that another one needs no code."""

from collections.abc import Iterable

from attrs import field, frozen

Pair = tuple[int, int]


def _pair(row: Iterable[int]) -> Pair:
    first, second = row
    return first, second


def _pairs(rows: Iterable[Iterable[int]]) -> tuple[Pair, ...]:
    return tuple(_pair(row) for row in rows)


@frozen
class SkeletonLayout:
    """Joints, numbered from 0 in the order of the files, and the bones between them: a tree.

    Raises ValueError if the bones are no tree over all joints, or a number is no joint's.
    """

    name: str
    joints: tuple[str, ...] = field(converter=tuple)
    edges: tuple[Pair, ...] = field(converter=_pairs)
    """(child, parent) of each bone: a bone vector is child - parent."""
    centre: int
    """The joint that is moved to the origin, and from which the graph's distances are counted."""
    shoulders: Pair = field(converter=_pair)
    """(left, right): the axis that alignment turns to x."""
    pairs: tuple[Pair, ...] = field(default=(), converter=_pairs)
    """(left, right) of the joints that a mirror would exchange."""

    def __attrs_post_init__(self) -> None:
        named = [self.centre, *self.shoulders, *(joint for pair in (*self.edges, *self.pairs) for joint in pair)]
        if any(not 0 <= joint < len(self.joints) for joint in named):
            raise ValueError(f"layout {self.name!r} names a joint that is not one of its {len(self.joints)}")
        children = [child for child, _ in self.edges]
        if len(set(children)) < len(children) or len(children) != len(self.joints) - 1 or not self._reaches_all():
            raise ValueError(f"the edges of layout {self.name!r} must give each joint but one exactly one parent")

    @property
    def parents(self) -> tuple[int, ...]:
        """Each joint's parent; the root's is itself."""
        parent = dict(self.edges)
        return tuple(parent.get(joint, joint) for joint in range(len(self.joints)))

    def _reaches_all(self) -> bool:
        """Whether every joint leads to the root (none to a circle)."""
        reached, grown = set(range(len(self.joints))) - {child for child, _ in self.edges}, True
        while grown:
            found = {child for child, parent in self.edges if parent in reached} - reached
            reached, grown = reached | found, bool(found)
        return len(reached) == len(self.joints)

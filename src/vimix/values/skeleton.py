"""The layout of a skeleton as plain data, so that another skeleton needs no code."""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from attrs import field, frozen

Pair = tuple[int, int]


def _pair(row: Iterable[int]) -> Pair:
    first, second = row
    return first, second


def _pairs(rows: Iterable[Iterable[int]]) -> tuple[Pair, ...]:
    return tuple(_pair(row) for row in rows)


@frozen
class SkeletonLayout:
    """The joints of a skeleton, numbered from 0 in the order of the files, and the bones between them.

    Raises ValueError if the bones do not form a tree over all joints, or if a number is not that of a joint.
    """

    name: str
    joints: tuple[str, ...] = field(converter=tuple)
    edges: tuple[Pair, ...] = field(converter=_pairs)
    """(child, parent) of each bone. The bone vector is child - parent."""
    centre: int
    """Joint that preprocessing moves to the origin and that graph distances are counted from."""
    shoulders: Pair = field(converter=_pair)
    """(left, right) shoulder: alignment turns the axis through them to x."""
    pairs: tuple[Pair, ...] = field(default=(), converter=_pairs)
    """(left, right) pairs of joints that a mirror image exchanges."""

    def __attrs_post_init__(self) -> None:
        named = [self.centre, *self.shoulders, *(joint for pair in (*self.edges, *self.pairs) for joint in pair)]
        if any(not 0 <= joint < len(self.joints) for joint in named):
            raise ValueError(f"layout {self.name!r} names a joint that is not one of its {len(self.joints)}")
        parents = {child: [parent] for child, parent in self.edges}
        try:
            TopologicalSorter(parents).prepare()
        except CycleError as error:
            circle = ", ".join(self.joints[joint] for joint in error.args[1])
            raise ValueError(f"the edges of layout {self.name!r} must form a tree, but go round: {circle}") from error
        if len(parents) < len(self.edges) or len(self.edges) != len(self.joints) - 1:
            raise ValueError(f"the edges of layout {self.name!r} must give each joint but one exactly one parent")

    @property
    def parents(self) -> tuple[int, ...]:
        """Parent of each joint [V]. The root is its own parent."""
        parent = dict(self.edges)
        return tuple(parent.get(joint, joint) for joint in range(len(self.joints)))

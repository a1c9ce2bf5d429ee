"""Layouts of skeletons as plain data: a new layout needs no code."""

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
    """Joints, numbered from 0 in the order of the files, and the bones between them, which form a tree.

    Raises ValueError if the bones do not form a tree over all joints, or a number is not that of a joint.
    """

    name: str
    joints: tuple[str, ...] = field(converter=tuple)
    edges: tuple[Pair, ...] = field(converter=_pairs)
    """(child, parent) of each bone. A bone vector is the position of the child minus that of the parent."""
    centre: int
    """The joint that is moved to the origin, and from which distances in the graph are counted."""
    shoulders: Pair = field(converter=_pair)
    """(left, right): the direction that alignment turns onto the x axis."""
    pairs: tuple[Pair, ...] = field(default=(), converter=_pairs)
    """(left, right) of the joints that a mirror exchanges."""

    def __attrs_post_init__(self) -> None:
        named = [self.centre, *self.shoulders, *(joint for pair in (*self.edges, *self.pairs) for joint in pair)]
        if any(not 0 <= joint < len(self.joints) for joint in named):
            raise ValueError(f"layout {self.name!r} names a joint that is not one of its {len(self.joints)}")
        children = [child for child, _ in self.edges]
        if len(set(children)) < len(children) or len(children) != len(self.joints) - 1 or not self._has_one_root():
            raise ValueError(f"the edges of layout {self.name!r} must give each joint but one exactly one parent")

    @property
    def parents(self) -> tuple[int, ...]:
        """The parent of each joint; the root is its own parent."""
        parent = dict(self.edges)
        return tuple(parent.get(joint, joint) for joint in range(len(self.joints)))

    def _has_one_root(self) -> bool:
        """Whether the parents lead from every joint to the same root, so that no joints form a circle."""
        parents, ancestors = self.parents, set(range(len(self.joints)))
        for _ in self.joints:
            ancestors = {parents[joint] for joint in ancestors}
        return len(ancestors) == 1

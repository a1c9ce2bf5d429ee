"""Skeleton layouts are data: those included in vimix, a user's own, and mistakes."""

import pytest

from vimix.values.errors import VimixError
from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.skeletons.layouts import find_layout, layout_names

# CrosSCLR's bone pairs, numbered from 1; (21, 21) is the root.
NTU_PAIRS = (
    "1 2,2 21,3 21,4 3,5 21,6 5,7 6,8 7,9 21,10 9,11 10,12 11,13 1,14 13,15 14,16 15,17 1,18 17,19 18,20 19,21 21,"
    "22 23,23 8,24 25,25 12"
)

MINE = """
name = "mine"
joints = ["head", "left", "right"]
edges = [["left", "head"], ["right", "head"]]
centre = "head"
shoulders = ["left", "right"]
"""


SHIPPED = {
    "coco17": 17,
    "kinect-v1": 20,
    "kinect-v1-sdk": 20,
    "mediapipe33": 33,
    "ntu": 25,
    "openpose18": 18,
    "openpose25": 25,
}
"""Number of joints by layout."""


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_layouts_are_trees_whose_left_mirrors_their_right(name) -> None:
    layout = find_layout(name)
    assert layout.name == name
    assert len(layout.joints) == SHIPPED[name]
    assert sum(parent == joint for joint, parent in enumerate(layout.parents)) == 1
    mirror = {a: b for pair in layout.pairs for a, b in (pair, pair[::-1])}
    edges = set(layout.edges)
    assert {(mirror.get(child, child), mirror.get(parent, parent)) for child, parent in edges} == edges
    for left, right in layout.pairs:
        assert layout.joints[right] == layout.joints[left].replace("left", "right")


def test_the_bones_of_ntu_are_those_of_crossclr() -> None:
    layout = find_layout("ntu")
    pairs = [tuple(map(int, pair.split())) for pair in NTU_PAIRS.split(",")]
    assert {(child - 1, parent - 1) for child, parent in pairs} == set(enumerate(layout.parents))
    assert layout.centre == 20
    assert layout.shoulders == (4, 8)


# The bones of pyskl's graphs (pyskl/utils/graph.py): (child, parent), the layouts coco and openpose.
PYSKL = {
    "coco17": "15 13,13 11,16 14,14 12,11 5,12 6,9 7,7 5,10 8,8 6,5 0,6 0,1 0,3 1,2 0,4 2",
    "openpose18": "4 3,3 2,7 6,6 5,13 12,12 11,10 9,9 8,11 5,8 2,5 1,2 1,0 1,15 0,14 0,17 15,16 14",
}


@pytest.mark.parametrize("name", PYSKL)
def test_the_bones_of_two_dimensional_layouts_are_those_of_pyskl(name) -> None:
    layout = find_layout(name)
    assert set(layout.edges) == {tuple(map(int, pair.split())) for pair in PYSKL[name].split(",")}


def test_both_orders_of_kinect_v1_name_the_same_bones() -> None:
    one, other = find_layout("kinect-v1"), find_layout("kinect-v1-sdk")
    assert set(layout_names()) == {*SHIPPED, "kinect-v2"}
    assert find_layout("kinect-v2") == find_layout("ntu")
    named = [{(x.joints[a], x.joints[b]) for a, b in x.edges} for x in (one, other)]
    assert named[0] == named[1]
    assert one.joints != other.joints


def test_a_users_layout_is_read_from_a_toml_file(tmp_path) -> None:
    (tmp_path / "mine.toml").write_text(MINE)
    layout = find_layout(str(tmp_path / "mine.toml"))
    assert layout == SkeletonLayout("mine", ("head", "left", "right"), ((1, 0), (2, 0)), 0, (1, 2))
    assert layout.parents == (0, 0, 0)
    (tmp_path / "mine.toml").write_text(MINE.replace('["left", "head"]', '["left", "right"]'))
    assert find_layout(str(tmp_path / "mine.toml")).parents == (0, 2, 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('centre = "head"', 'centre = "neck"', "'neck' is not one of its joints"),
        ('["right", "head"]]', "]", "exactly one parent"),
        ('["right", "head"]]', '["right", "head"], ["right", "left"]]', "exactly one parent"),
        ('["right", "head"]]', '["right", "head"], ["head", "left"]]', "must form a tree, but go round"),
        (
            'edges = [["left", "head"], ["right", "head"]]',
            'edges = [["left", "right"], ["right", "left"]]',
            "must form a tree, but go round: left, right, left",
        ),
        ('["right", "head"]]', '["right", "right"]]', "must form a tree, but go round: right, right"),
        ('centre = "head"\n', "", "missing or unknown: centre"),
        ('name = "mine"', 'name = "mine"\ncolour = 1', "missing or unknown: colour"),
        ('["head", "left", "right"]', '["head", "left", "left"]', "two joints have the same name"),
        ('shoulders = ["left", "right"]', 'shoulders = ["left"]', "not a skeleton layout"),
        ('shoulders = ["left", "right"]', "shoulders = 3", "not a skeleton layout"),
        ("joints = [", "joints [", "not valid TOML"),
    ],
)
def test_a_layout_with_a_mistake_is_refused_by_its_file(tmp_path, old, new, message) -> None:
    assert old in MINE
    (tmp_path / "mine.toml").write_text(MINE.replace(old, new))
    with pytest.raises(VimixError, match=message) as refused:
        find_layout(str(tmp_path / "mine.toml"))
    assert "mine.toml" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "message"), [("kinect", "expected one of coco17, kinect-v1, "), ("no.toml", "cannot be read")]
)
def test_an_unknown_layout_is_refused(name, message) -> None:
    with pytest.raises(VimixError, match=message):
        find_layout(name)

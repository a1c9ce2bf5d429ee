"""The files at the root agree on versions, names and licence."""

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_that_of_the_citation_and_of_the_newest_release_in_the_changelog() -> None:
    (cited,) = re.findall(r"^version: (.+)$", text("CITATION.cff"), re.MULTILINE)
    (released,) = re.findall(r"^date-released: (.+)$", text("CITATION.cff"), re.MULTILINE)
    unreleased, newest, *_ = re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    assert cited == PROJECT["version"]
    assert (unreleased, newest) == ("[Unreleased]", f"[{cited}] - {released}")


def test_the_changelog_has_the_groups_of_keep_a_changelog_each_once_in_a_release() -> None:
    _, *releases = text("CHANGELOG.md").split("\n## ")
    known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
    for release in releases:
        groups = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert groups == [name for name in known if name in groups], release.splitlines()[0]


def test_classifiers_name_each_python_once_in_order() -> None:
    pythons = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name]
    assert pythons == sorted(set(pythons), key=Version)
    assert Version(pythons[0]) in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_the_workflow_tests_every_python_of_the_classifiers_and_both_ends_of_the_dependencies() -> None:
    jobs = re.findall(r'python: "(.+?)", dependencies: (\w+)', text(".github/workflows/ci.yml"))
    pythons = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if "Python :: 3." in name}
    assert {python for python, dependencies in jobs if dependencies == "newest"} == pythons
    assert {dependencies for _, dependencies in jobs} == {"recorded", "oldest", "newest"}


@pytest.mark.parametrize("name", [".github/workflows/ci.yml", ".pre-commit-config.yaml", ".ci/run", "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(name) -> None:
    targets = set(re.findall(r"^([\w-]+):(?!=)", text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:entry: |run: |^|`)make ([a-z][\w-]*)", text(name), re.MULTILINE))
    named |= set(" ".join(re.findall(r"targets: ([\w -]+) \}", text(name))).split())
    assert named
    assert named <= targets


def test_the_oldest_constraints_are_the_lower_bounds_of_what_users_install() -> None:
    pinned = {pin.name: pin.specifier for pin in map(Requirement, lines("constraints-oldest.txt"))}
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["onnx"]]
    bounds = {bound.name: bound.specifier for bound in map(Requirement, needed)}
    assert pinned.keys() == bounds.keys()
    for name, pin in pinned.items():
        (oldest,), (bound,) = pin, bounds[name]
        assert (oldest.operator, bound.operator) == ("==", ">="), name
        assert Version(oldest.version).release[: len(Version(bound.version).release)] == Version(bound.version).release


def test_the_recorded_versions_are_exact_and_include_every_dependency() -> None:
    pinned = {pin.name.lower().replace("_", "-"): pin.specifier for pin in map(Requirement, lines("constraints.txt"))}
    extras = [name for extra in PROJECT["optional-dependencies"].values() for name in extra]
    for needed in map(Requirement, [*PROJECT["dependencies"], *extras]):
        (exact,) = pinned[needed.name.lower().replace("_", "-")]
        assert exact.operator == "=="
        assert exact.version in needed.specifier


def lines(name: str) -> list[str]:
    return [line for line in text(name).splitlines() if line and not line.startswith("#")]


def test_the_tour_names_files_that_exist_and_each_of_them_once() -> None:
    """The tour follows a clip from the store to the loss and never goes back."""
    named = re.findall(r"`([a-z0-9_/]+\.py)`", (ROOT / "docs/tour.md").read_text(encoding="utf-8"))
    places = [ROOT / "src/vimix", ROOT / "adapters/vimix_adapters"]
    assert len(named) > 20
    assert len(set(named)) == len(named)
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


def test_no_two_classes_or_modules_share_a_name_but_a_commands_and_its_command_lines() -> None:
    modules = [path for folder in ("src", "adapters") for path in (ROOT / folder).rglob("*.py")]
    classes = (
        node.name for path in modules for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in Counter(classes).items() if count > 1 and not name.startswith("_")]
    stems = Counter(path.stem for path in modules if path.parent.name != "cli" and not path.stem.startswith("__"))
    assert not [stem for stem, count in stems.items() if count > 1]
    for path in modules:
        if path.parent.name == "cli" and stems[path.stem]:
            assert path.parents[1].joinpath("commands", path.name).exists(), path

"""Skeleton layouts by name or from a TOML file."""

from importlib import resources
from pathlib import Path
from typing import Any

from vimix.values.errors import VimixError
from vimix.values.skeleton import SkeletonLayout
from vimix_adapters.reading import MOST_RECIPE, parse_toml, read_text

ALIASES = {"kinect-v2": "ntu"}
"""Other names of layouts."""
_KEYS = {"name", "joints", "edges", "centre", "shoulders", "pairs"}


def layout_names() -> list[str]:
    """Return the names of the layouts that vimix includes."""
    files = [file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml")]
    return sorted([*files, *ALIASES])


def find_layout(name: str) -> SkeletonLayout:
    """Return the included layout of that name, or the layout in the TOML file of that path.

    The file (see ``layouts/*.toml``) lists the names of the joints, and refers to joints by name in ``edges`` (child,
    parent), ``centre``, ``shoulders`` and ``pairs`` (left, right). Raises VimixError naming the file and the mistake.
    """
    if name in layout_names():
        file = _shipped().joinpath(f"{ALIASES.get(name, name)}.toml")
        return _structured(file.read_text(encoding="utf-8"), name)
    path = Path(name)
    if path.suffix != ".toml":
        raise VimixError(f"layout {name!r}: expected one of {', '.join(layout_names())}, or the path of a TOML file")
    return _structured(read_text(path, "a skeleton layout in TOML", MOST_RECIPE), name)


def _shipped() -> Any:
    return resources.files("vimix_adapters.skeletons") / "layouts"


def _structured(text: str, origin: str) -> SkeletonLayout:
    table = parse_toml(text, origin)
    if wrong := (_KEYS - {"pairs"} - table.keys()) | (table.keys() - _KEYS):
        raise VimixError(f"{origin}: missing or unknown: {', '.join(sorted(wrong))}; a layout has {', '.join(_KEYS)}")
    try:
        numbers = {joint: number for number, joint in enumerate(table["joints"])}
        if len(numbers) < len(table["joints"]):
            raise ValueError("two joints have the same name")

        left, right = (numbers[joint] for joint in table["shoulders"])
        edges, pairs = ([(numbers[a], numbers[b]) for a, b in table.get(key, ())] for key in ("edges", "pairs"))
        centre = numbers[table["centre"]]
        return SkeletonLayout(str(table["name"]), tuple(numbers), edges, centre, (left, right), pairs)
    except KeyError as error:
        raise VimixError(f"{origin}: {error} is not one of its joints") from error
    except (TypeError, ValueError) as error:
        raise VimixError(f"{origin}: not a skeleton layout: {error}") from error

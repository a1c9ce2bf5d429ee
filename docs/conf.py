"""How Sphinx builds this site: ``make docs``."""

import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
from recipe_keys import write_recipe_keys

project = "vimix"
html_title = "vimix"
html_theme = "furo"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "groupwise"


def write_commands(app: Sphinx) -> None:
    """Write ``commands.md``, the command reference, from the command line itself."""
    command = [sys.executable, "-m", "typer", "vimix_adapters.cli.main", "utils", "docs", "--name", "vimix"]
    made = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    text = made.stdout.replace("# `vimix`", "# Command reference", 1).replace("_*.", r"_\*.")
    (Path(app.srcdir) / "commands.md").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx: both references are written before the pages are looked for."""
    app.connect("builder-inited", write_commands)
    app.connect("builder-inited", lambda app: write_recipe_keys(Path(app.srcdir) / "recipe-keys.md"))

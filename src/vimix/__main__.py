"""``python -m vimix``: the installed ``vimix`` command, for ``torchrun -m vimix``.

The core does not import the command line; it is found through the entry point of the distribution.
"""

import sys
from importlib.metadata import entry_points


def main() -> None:
    """Run the command."""
    found = entry_points(group="console_scripts", name="vimix")
    if not found:
        sys.exit("the vimix command is not installed: pip install vimix-ssl, or pip install -e . in the sources")
    next(iter(found)).load()()


if __name__ == "__main__":
    main()

"""Arms that begin with the same stages train them once."""

import os
from pathlib import Path

import structlog
from attrs import define, field

from vimix_adapters import config

log = structlog.get_logger()


@define
class StagePlaces:
    """Where each stage of a run's arms lies; one that another arm has trained already is a link to it."""

    recipe: config.Recipe
    out: Path
    writes: bool = True
    """False in the processes of a team that only compute."""
    _first: dict[str, Path] = field(factory=dict, init=False)

    def owner(self, arm: str, number: int, name: str) -> Path:
        """The folder in which the stage is trained: the arm's own, or that of the first arm with the same stage."""
        own = self.out / arm / f"{number + 1}-{name}"
        first = self._first.setdefault(config.stage_identities(self.recipe, arm)[number], own)
        # A folder from a run of before arms shared their stages stays what it is.
        return own if own.is_dir() and not own.is_symlink() else first

    def linked(self, arm: str, number: int, name: str) -> Path:
        """``owner``, with a link to it where the arm's own folder would be."""
        own, owner = self.out / arm / f"{number + 1}-{name}", self.owner(arm, number, name)
        if owner != own and self.writes:
            _link(own, owner)
            log.info("stage.shared", arm=arm, stage=name, trained_in=str(owner.relative_to(self.out)))
        return owner


def _link(own: Path, owner: Path) -> None:
    """A relative link, so that a run can be moved. File systems without links lose the convenience only."""
    own.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(owner, own.parent)
    if own.is_symlink() and own.readlink() == Path(target):
        return
    own.unlink(missing_ok=True)
    try:
        own.symlink_to(target, target_is_directory=True)
    except OSError as error:
        log.warning("stage.not_linked", folder=str(own), reason=str(error))

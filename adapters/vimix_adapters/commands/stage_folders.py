"""Folders of the stages of a run: arms that begin with the same stages train them once."""

import os
from pathlib import Path

import structlog
from attrs import define, field

from vimix_adapters import config
from vimix_adapters.files import make_folder

log = structlog.get_logger()


def stages_of_arm(recipe: config.Recipe, out: Path, arm: str) -> list[tuple[Path, config.Stage]]:
    """The stages of an arm, each with the folder that it has in the run's folder ``out``."""
    numbered = enumerate(recipe.arms[arm].stages, start=1)
    return [(out / arm / f"{number}-{stage.name}", stage) for number, stage in numbered]


@define
class StageFolders:
    """The folder of each stage of each arm; a stage that another arm trains is a link to its folder."""

    recipe: config.Recipe
    out: Path
    writes: bool = True
    """False on all ranks of a process group but the first."""
    _alike: dict[Path, list[Path]] = field(init=False)
    """Folders of all arms with the same training, by folder, in the recipe's order."""

    @_alike.default
    def _by_identity(self) -> dict[Path, list[Path]]:
        alike: dict[str, list[Path]] = {}
        for arm in self.recipe.arms:
            stages = stages_of_arm(self.recipe, self.out, arm)
            for identity, (folder, _) in zip(config.stage_identities(self.recipe, arm), stages, strict=True):
                alike.setdefault(identity, []).append(folder)
        return {folder: folders for folders in alike.values() for folder in folders}

    def owner(self, arm: str, number: int, name: str) -> Path:
        """The folder in which the stage is trained: the arm's own, or that of the first arm with the same stage.

        A stage that has been trained stays where it is, even if another arm is added before its own later.
        """
        own = self.out / arm / f"{number + 1}-{name}"
        alike = self._alike[own]
        return next((folder for folder in (own, *alike) if _trained(folder)), alike[0])

    def linked(self, arm: str, number: int, name: str) -> Path:
        """The folder ``owner``, with a link to it in place of the arm's own folder."""
        own, owner = self.out / arm / f"{number + 1}-{name}", self.owner(arm, number, name)
        if owner != own and self.writes:
            _link(own, owner)
            log.info("stage.shared", arm=arm, stage=name, trained_in=str(owner.relative_to(self.out)))
        elif self.writes and own.is_symlink() and not own.exists():
            own.unlink()  # to the folder of an arm that was deleted
        return owner


def _trained(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink()


def _link(own: Path, owner: Path) -> None:
    """Make a relative link, so that a run can be moved. A file system without links only lacks the convenience."""
    make_folder(own.parent)
    target = os.path.relpath(owner, own.parent)
    if own.is_symlink() and own.readlink() == Path(target):
        return
    own.unlink(missing_ok=True)
    try:
        own.symlink_to(target, target_is_directory=True)
    except OSError as error:
        log.warning("stage.not_linked", folder=str(own), reason=str(error))

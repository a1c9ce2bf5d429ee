"""The list of videos to make, with their names and splits, which is decided before any video is rendered."""

import numpy as np
from attrs import frozen

from vimix_adapters.synth.actions import ACTIONS
from vimix_adapters.synth.synth_settings import SynthSettings

TEST_SHARE = 0.3
SETUPS = CAMERAS = 3


@frozen
class PlannedVideo:
    """One video to make. Numbers start at 1 as in NTU's names, except for ``action``, an index into ACTIONS.

    ``camera`` is the third of the range of azimuths that the camera is in, ``setup`` the third of the elevations.
    """

    action: int
    performer: int
    replication: int
    camera: int
    setup: int
    test: bool

    @property
    def name(self) -> str:
        """NTU's name of the video, ``SsssCcccPpppRrrrAaaa``."""
        numbers = (self.setup, self.camera, self.performer, self.replication, self.action + 1)
        return "".join(f"{letter}{number:03d}" for letter, number in zip("SCPRA", numbers, strict=True))

    @property
    def label(self) -> str:
        """Name of the class and of its folder."""
        return ACTIONS[self.action].name

    def rng(self, settings: SynthSettings) -> np.random.Generator:
        """Return the video's generator, which does not depend on other videos."""
        return np.random.default_rng((settings.seed, 1, self.action, self.performer, self.replication))


def plan(settings: SynthSettings) -> tuple[PlannedVideo, ...]:
    """Return all samples in order of class. About 30 % of the performers (at least one) are in the test split.

    Only the first ``train_per_class`` training videos of a class are returned; the performers take turns in them.
    """
    test = _test_performers(settings)
    samples: list[PlannedVideo] = []
    for action in range(settings.classes):
        drawn = [_sample(settings, action, number, test) for number in range(settings.videos_per_class)]
        surplus = [sample for sample in drawn if not sample.test][settings.train_per_class or len(drawn) :]
        samples += [sample for sample in drawn if sample not in surplus]
    return tuple(samples)


def _test_performers(settings: SynthSettings) -> frozenset[int]:
    cast = min(
        settings.performers, settings.videos_per_class
    )  # with fewer videos than performers, the others never appear
    order = np.random.default_rng((settings.seed, 2)).permutation(cast) + 1
    return frozenset(order[: max(1, round(TEST_SHARE * cast))].tolist())


def _sample(settings: SynthSettings, action: int, number: int, test: frozenset[int]) -> PlannedVideo:
    replication, performer = divmod(number, settings.performers)
    view = np.random.default_rng((settings.seed, 3, action, number))
    return PlannedVideo(
        action=action,
        performer=performer + 1,
        replication=replication + 1,
        camera=int(view.integers(CAMERAS)) + 1,
        setup=int(view.integers(SETUPS)) + 1,
        test=performer + 1 in test,
    )

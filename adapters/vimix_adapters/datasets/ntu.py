"""NTU RGB+D 60 and 120: names of samples, protocols, classes, samples with missing skeletons, and the colour videos.

Source: the authors' page (github.com/shahroudy/NTURGB-D) and papers (Shahroudy et al. 2016, Liu et al. 2019). Names,
protocols and classes hold for skeletons and for videos (``S001C001P001R001A001_rgb.avi``).
"""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from attrs import frozen

from vimix.values.errors import VimixError
from vimix_adapters.datasets.listing import DatasetFile, Listing, video_files
from vimix_adapters.reading import read_text

EDITIONS = {60: 17, 120: 32}
"""Number of setups of each edition, by its number of actions."""

OFFICIAL = {
    60: {"xsub-train": 40091, "xsub-test": 16487, "xview-train": 37646, "xview-test": 18932},
    120: {"xsub-train": 63026, "xsub-test": 50919, "xset-train": 54468, "xset-test": 59477},
}
"""Number of samples of each split by edition, without the samples whose skeletons are missing."""
OFFICIAL_VIDEOS: Mapping[int, Mapping[str, int]] = {
    60: {"xsub-train": 40_320, "xsub-test": 16_560, "xview-train": 37_920, "xview-test": 18_960},
    120: {},
}
"""Number of videos in each split by edition, samples with missing skeletons included; none is published for 120."""

# fmt: off
TRAIN_PERFORMERS = frozenset({
    1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38,  # these in 60, the others in 120 only
    45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
})
# fmt: on

_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})(?![0-9A-Za-z])")

# fmt: off
ACTIONS = (
    "drink water", "eat meal", "brush teeth", "brush hair", "drop", "pick up", "throw", "sit down", "stand up",
    "clapping", "reading", "writing", "tear up paper", "put on jacket", "take off jacket", "put on a shoe",
    "take off a shoe", "put on glasses", "take off glasses", "put on a hat", "take off a hat", "cheer up",
    "hand waving", "kicking something", "reach into pocket", "hopping", "jump up", "phone call", "play with phone",
    "type on a keyboard", "point to something", "taking a selfie", "check time", "rub two hands", "nod head",
    "shake head", "wipe face", "salute", "put palms together", "cross hands in front", "sneeze or cough",
    "staggering", "falling down", "headache", "chest pain", "back pain", "neck pain", "nausea or vomiting",
    "fan self", "punch or slap", "kicking", "pushing", "pat on back", "point finger", "hugging", "giving object",
    "touch pocket", "shaking hands", "walking towards", "walking apart", "put on headphone", "take off headphone",
    "shoot at basket", "bounce ball", "tennis bat swing", "juggle table tennis ball", "hush", "flick hair",
    "thumb up", "thumb down", "make OK sign", "make victory sign", "staple book", "counting money", "cutting nails",
    "cutting paper", "snap fingers", "open bottle", "sniff or smell", "squat down", "toss a coin", "fold paper",
    "ball up paper", "play magic cube", "apply cream on face", "apply cream on hand", "put on bag", "take off bag",
    "put object into bag", "take object out of bag", "open a box", "move heavy objects", "shake fist",
    "throw up cap or hat", "hands up", "cross arms", "arm circles", "arm swings", "run on the spot", "butt kicks",
    "cross toe touch", "side kick", "yawn", "stretch oneself", "blow nose", "hit with object", "wield knife",
    "knock over", "grab stuff", "shoot with gun", "step on foot", "high-five", "cheers and drink", "carry object",
    "take a photo", "follow", "whisper", "exchange things", "support somebody", "rock-paper-scissors",
)
# fmt: on
"""Shortened names of the actions A001 ... A120."""


@frozen
class NtuName:
    """The five numbers, each from 1, in the name ``SsssCcccPpppRrrrAaaa`` of a sample."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @property
    def source(self) -> str:
        """The performance, which three cameras record: its three samples have the same source."""
        return f"S{self.setup:03d}P{self.performer:03d}R{self.replication:03d}A{self.action:03d}"

    @property
    def edition(self) -> int:
        """60, or 120 for a sample that only the extension contains."""
        return 60 if self.setup <= EDITIONS[60] and self.action <= 60 else 120


def parse_name(text: str) -> NtuName | None:
    """Read the numbers at the start of a file name; None if there are none, or one is out of range."""
    match = _NAME.match(text)
    if match is None:
        return None
    name = NtuName(*map(int, match.groups()))
    valid = 1 <= name.setup <= EDITIONS[120] and 1 <= name.action <= 120 and min(name.camera, name.performer) >= 1
    return name if valid else None


def splits_of(name: NtuName, edition: int) -> tuple[str, ...]:
    """Return the split of a sample in each protocol: cross-subject, and cross-view (60) or cross-setup (120)."""
    train = {"xsub": name.performer in TRAIN_PERFORMERS}
    if edition == 60:
        train["xview"] = name.camera != 1
    else:
        train["xset"] = name.setup % 2 == 0
    return tuple(f"{protocol}-{'train' if chosen else 'test'}" for protocol, chosen in train.items())


def class_names(edition: int) -> tuple[str, ...]:
    """Return the classes of an edition, 60 or 120, in the order of their labels: ``A001 drink water`` ..."""
    return tuple(f"A{number:03d} {action}" for number, action in enumerate(ACTIONS[:edition], 1))


def missing_skeletons(file: Path | None = None) -> frozenset[str]:
    """Read the names of samples whose skeletons are missing or incomplete.

    Without ``file`` these are the authors' 535 (302 of them in edition 60). A file has one name on each line; lines
    without a name are comments. Raises VimixError if it cannot be read or names no sample.
    """
    if file is None:
        text = (resources.files("vimix_adapters.datasets") / "ntu_missing_skeletons.txt").read_text(encoding="utf-8")
    else:
        text = read_text(file, "a list of samples")
    names = frozenset(line.strip()[:20] for line in text.splitlines() if _NAME.match(line.strip()))
    if not names:
        raise VimixError(f"{file}: expected a sample such as S001C002P005R002A008 in each line, found none")
    return names


def list_ntu_videos(folder: Path, edition: int = 60) -> Listing:
    """List all ``_rgb.avi`` videos below ``folder`` that belong to the edition, 60 or 120.

    The videos of the three cameras that filmed a performance have the same source. Raises VimixError if there is none.
    """
    below = video_files(folder)
    samples = {
        path.stem.upper(): (path, name)
        for path in below.paths
        if path.stem.lower().endswith("_rgb") and (name := parse_name(path.stem.upper())) and name.edition <= edition
    }
    if not samples:
        raise VimixError(f"{folder}: expected videos named SsssCcccPpppRrrrAaaa_rgb.avi of ntu{edition}, found none")
    classes = class_names(edition)
    listed = tuple(
        DatasetFile(path, f"{stem[:20]}_rgb.avi", classes[name.action - 1], name.source, splits_of(name, edition))
        for stem, (path, name) in sorted(samples.items())
    )
    splits = tuple(dict.fromkeys(split for video in listed for split in video.splits))
    totals = OFFICIAL_VIDEOS[edition]
    return Listing(
        f"ntu{edition}", listed, classes, tuple(totals) or splits, totals=dict(totals), official=True, notes=below.notes
    )

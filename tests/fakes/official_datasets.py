"""The official layouts in small: list files with their real quirks, and short encoded clips where they belong."""

from pathlib import Path

from tests.fakes.store import moving_square, write_video

UCF_CLASSES = ("ApplyEyeMakeup", "Hammering", "HammerThrow", "HandstandPushups")
"""In the order of classInd.txt: a case-sensitive sort would put HammerThrow before Hammering."""
UCF_SIZES = (("train", 16), ("test", 8))
"""Of every split of the small layout."""
HMDB_CLASSES = {
    "brush_hair": ("April_09_brush_hair_u_nm_np1_ba_goo_0", "April_09_brush_hair_u_nm_np1_ba_goo_1"),
    "climb": (
        "(HQ)_Rock_Climbing_-_Free_Solo_&_#1;_climb_f_cm_np1_le_med_6",
        "#437_climb wall_climb_f_cm_np1_ba_bad_0",
    ),
}


def clip(path: Path, frames: int = 4) -> None:
    """A tiny video."""
    write_video(path, moving_square(frames, 32, 40), codec="mpeg4")


def ucf101(folder: Path) -> tuple[Path, Path]:
    """``UCF-101`` and ``ucfTrainTestlist``: split k tests on source k of each class; CRLF as published."""
    videos, lists = folder / "UCF-101", folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_bytes("".join(f"{i} {c}\r\n" for i, c in enumerate(UCF_CLASSES, 1)).encode())
    names = {}
    for number, class_name in enumerate(UCF_CLASSES, 1):
        spelled = class_name.replace("Handstand", "HandStand")
        for group in (1, 2, 3):
            for part in (1, 2):
                name = f"{class_name}/v_{spelled}_g{group:02d}_c{part:02d}.avi"
                names[name] = (number, group)
                clip(videos / name)
    for split in (1, 2, 3):
        train = [f"{name} {label}\r\n" for name, (label, group) in names.items() if group != split]
        test = [f"{name}\r\n" for name, (_, group) in names.items() if group == split]
        (lists / f"trainlist0{split}.txt").write_bytes("".join(train).encode())
        (lists / f"testlist0{split}.txt").write_bytes("".join(test).encode())
    return videos, lists


def hmdb51(folder: Path) -> tuple[Path, Path]:
    """``hmdb51_org`` and ``testTrainMulti_7030_splits``: the first clip of a class trains in split 1, the second tests.

    In split 2 it is the other way round, and split 3 does not use the first. Lines end in a space, as published.
    """
    videos, lists = folder / "hmdb51_org", folder / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for class_name, stems in HMDB_CLASSES.items():
        for stem in stems:
            clip(videos / class_name / f"{stem}.avi")
        for split, tags in ((1, "12"), (2, "21"), (3, "01")):
            lines = [f"{stem}.avi {tag} \n" for stem, tag in zip(stems, tags, strict=True)]
            (lists / f"{class_name}_test_split{split}.txt").write_text("".join(lines))
    return videos, lists


def kinetics(folder: Path) -> tuple[Path, Path, Path, Path]:
    """Videos, ``train.csv``, ``val.csv`` and ``test.csv``: one clip is missing, one has a plain name."""
    videos = folder / "k400"
    head = "label,youtube_id,time_start,time_end,split\n"
    rows = {
        "train": [
            "air drumming,0wR5jVB-WPk,417,427,train",
            "riding a bike,-abc_DEF123,0,10,train",
            "yoga,gone0000000,5,15,train",
        ],
        "val": ["yoga,aBcDeFgHiJk,30,40,val", "yoga,abcdefghijk,30,40,val"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text(head + "".join(f"{line}\n" for line in lines))
    (folder / "test.csv").write_text("youtube_id,time_start,time_end,split\nT0000000000,1,11,test\n")
    for name in (
        "train/air_drumming/0wR5jVB-WPk_000417_000427.mp4",
        "train/riding a bike/-abc_DEF123.mp4",
        "val/yoga/aBcDeFgHiJk_000030_000040.mp4",
        "val/yoga/abcdefghijk_000030_000040.mp4",
        "test/T0000000000_000001_000011.mp4",
        "replacement/aBcDeFgHiJk_000030_000040.mp4",
    ):
        clip(videos / name)
    return videos, *(folder / f"{name}.csv" for name in ("train", "val", "test"))

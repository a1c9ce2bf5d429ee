"""Sizes and read rates of stores, and rates of TV-L1, as the tables of the records.

    python experiments/bench_store.py [--sizes 128x128 320x240] [--short-side 128] [--pairs 6] [--workers 2]
    python experiments/bench_store.py --sizes --flow-sizes 320x240 --pairs 256 --device cuda

Without a size after ``--sizes`` it measures flow alone. TV-L1 in PyTorch takes all pairs in one call.
One thread, processor time: other work on the machine hardly changes the ratios. ``--workers N`` also measures a pool of
N processes against one; that one goes by the clock and wants a machine at rest.
"""

import argparse
import tempfile
from pathlib import Path

from vimix_adapters.benchmarks.flow_speed import measure_flow, measure_pool
from vimix_adapters.benchmarks.store_speed import measure_store


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="*", default=["128x128", "320x240", "640x480"], metavar="WxH")
    parser.add_argument("--flow-sizes", nargs="+", default=["80x64", "171x128", "320x240"], metavar="WxH")
    parser.add_argument("--short-side", type=int, default=128)
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    if asked.sizes:
        stores(asked.sizes, asked.short_side, asked.videos)
    flows(asked.flow_sizes, asked.pairs, asked.device)
    if asked.workers:
        ratio = measure_pool(171, 128, jobs=4 * asked.workers, pairs=10, workers=asked.workers)
        print(f"\nOpenCV's TV-L1 in {asked.workers} processes: {ratio:.2f} times one process")


def stores(sizes: list[str], short_side: int, videos: int) -> None:
    """A row a size and a way of keeping the videos."""
    print("| video | kept as | bytes a frame | frames/s | × mp4 | clips/s | × mp4 |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for size in sizes:
        width, height = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            found = measure_store(Path(folder), width, height, short_side, videos)
        for kind in ("mp4", "jpeg", "raw"):
            kept = kind if kind == "mp4" else f"{kind}, short side {short_side}"
            print(
                f"| {size} | {kept} | {found.bytes_a_frame[kind]:.0f} | {found.frames_a_second[kind]:.0f} "
                f"| {found.gain(kind):.1f} | {found.clips_a_second[kind]:.1f} | {found.clip_gain(kind):.1f} |"
            )


def flows(sizes: list[str], pairs: int, device: str) -> None:
    """A row a size."""
    rates = f"OpenCV, one thread: pairs/s | PyTorch, {device}: pairs/s"
    print(f"\n| TV-L1, {pairs} pairs | {rates} | × | mean difference, pixels |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for size in sizes:
        width, height = map(int, size.split("x"))
        found = measure_flow(width, height, pairs, device)
        ratio = found.torch / found.opencv
        print(f"| {size} | {found.opencv:.2f} | {found.torch:.2f} | {ratio:.2f} | {found.difference:.4f} |")


if __name__ == "__main__":
    main()

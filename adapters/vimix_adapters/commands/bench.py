"""``vimix bench``: speed relative to plain implementations on the same machine."""

from collections.abc import Sequence
from pathlib import Path

import attrs

from vimix.values.errors import VimixError
from vimix_adapters.benchmarks import runner
from vimix_adapters.benchmarks.timing import CLOCKS, TINY, BenchSettings
from vimix_adapters.files import require_new, write_text
from vimix_adapters.reports.console import print_note


def write_benchmarks(
    out: Path, only: Sequence[str], batches: Sequence[int], device: str, clock: str, tiny: bool, force: bool = False
) -> list[str]:
    """Run the benchmarks, print a line for each, and write the table to ``out``.

    ``batches`` are those of the benchmark ``throughput``. Returns the names of benchmarks that missed their target.
    Raises VimixError for an unknown name or clock, or if ``out`` exists and ``force`` is false.
    """
    require_new(out, force)
    for name in only:
        if name not in runner.BENCHMARKS:
            raise VimixError(f"--only {name}: expected one of {', '.join(runner.BENCHMARKS)}")
    if clock not in CLOCKS:
        raise VimixError(f"--clock {clock}: expected one of {', '.join(CLOCKS)}")
    settings = attrs.evolve(TINY if tiny else BenchSettings(), device=device, clock=clock)
    if batches:
        settings = attrs.evolve(settings, batches=tuple(batches))
    for heading in runner.HEAD:
        print(heading)
    names = list(only) or [name for name in runner.BENCHMARKS if name not in runner.ON_REQUEST]
    findings = runner.run_benchmarks(settings, names, lambda text: print(text, flush=True))
    write_text(out, runner.report(settings, findings))
    print_note(f"written to {out}")
    return runner.missed(findings)

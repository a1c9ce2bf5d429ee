"""``vimix bench``: the speed of what matters, as ratios on one machine, and a record of it."""

from collections.abc import Sequence
from pathlib import Path

import attrs
from rich.console import Console

from vimix.values.errors import VimixError
from vimix_adapters.benchmarks import runner
from vimix_adapters.benchmarks.bench_settings import TINY, BenchSettings
from vimix_adapters.benchmarks.timing import CLOCKS
from vimix_adapters.files import write_text
from vimix_adapters.outputs import require_output, text_with

REPORT = text_with("a report of vimix bench", "# Benchmarks")


def write_benchmarks(out: Path, only: Sequence[str], device: str, clock: str, tiny: bool) -> list[str]:
    """Run the benchmarks, print their lines, write the table to ``out``; names of those that missed their target.

    Raises VimixError for an unknown name or clock, or if ``out`` holds something else than a report.
    """
    require_output(out, REPORT)
    for name in only:
        if name not in runner.BENCHMARKS:
            raise VimixError(f"--only {name}: expected one of {', '.join(runner.BENCHMARKS)}")
    if clock not in CLOCKS:
        raise VimixError(f"--clock {clock}: expected one of {', '.join(CLOCKS)}")
    settings = attrs.evolve(TINY if tiny else BenchSettings(), device=device, clock=clock)
    for heading in runner.HEAD:
        print(heading)
    names = list(only) or list(runner.BENCHMARKS)
    findings = runner.run_benchmarks(settings, names, lambda text: print(text, flush=True))
    write_text(out, runner.report(settings, findings))
    Console(stderr=True).print(f"written to {out}", soft_wrap=True)
    return runner.missed(findings)

"""All benchmarks, and the table of their results."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from attrs import asdict

from vimix_adapters.benchmarks.evaluation_speed import probing, retrieval
from vimix_adapters.benchmarks.pipeline import pipeline, start_up
from vimix_adapters.benchmarks.step_speed import blending, skeleton_steps, training_steps
from vimix_adapters.benchmarks.throughput import throughput
from vimix_adapters.benchmarks.timing import BenchSettings, Finding, Measure, Remark, TimedPair
from vimix_adapters.reports.environment import commit, machine, versions

Benchmark = Callable[[BenchSettings], Iterator[Finding]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "steps": training_steps,
    "skeletons": skeleton_steps,
    "throughput": throughput,
    "blend": blending,
    "pipeline": pipeline,
    "retrieval": retrieval,
    "probe": probing,
    "start": start_up,
}
"""Benchmarks by the name that ``vimix bench --only`` takes."""
ON_REQUEST = frozenset({"throughput"})
"""Benchmarks that run only if they are named."""


def run_benchmarks(settings: BenchSettings, names: Sequence[str], show: Callable[[str], None]) -> list[Finding]:
    """Run the named benchmarks in turn and call ``show`` with the table row of each finding."""
    findings = []
    for name in names:
        for finding in BENCHMARKS[name](settings):
            findings.append(finding)
            show(line(finding))
    return findings


def line(finding: Finding) -> str:
    """Return a row of the table in Markdown."""
    if isinstance(finding, Remark):
        return f"| {finding.name} | | | | | | {finding.text} |"
    if isinstance(finding, Measure):
        low, high = min(finding.values), max(finding.values)
        figure = f"{finding.median:.3g} {finding.unit}"
        target = "" if finding.target is None else f"<= {finding.target:g}"
        spread = f"{low:.3g} - {high:.3g} | {target} | {_met(finding.met)}"
        return f"| {finding.name} | {figure} | {spread} | | {finding.note} |"
    low, high = finding.spread
    kind = "x faster" if finding.faster else "x the time"
    sides = f"{_seconds(finding.theirs)} {finding.reference}; {_seconds(finding.ours)} vimix"
    target = "" if finding.target is None else f"{'>=' if finding.faster else '<='} {finding.target:g}"
    return (
        f"| {finding.name} | {finding.ratio:.2f} {kind} | {low:.2f} - {high:.2f} | {target} | {_met(finding.met)} "
        f"| {sides} | {finding.note} |"
    )


HEAD = (
    "| what | figure | spread | target | met | medians | |",
    "| --- | ---: | ---: | ---: | --- | --- | --- |",
)


def report(settings: BenchSettings, findings: Sequence[Finding]) -> str:
    """Return the record in Markdown: machine, versions, sizes and the table."""
    clock = "wall clock" if settings.clock == "wall" else "processor time of the process (a busy machine)"
    sizes = ", ".join(f"{key} {value}" for key, value in asdict(settings).items() if key not in ("clock", "device"))
    lines = [
        "# Benchmarks",
        "",
        f"{machine(settings.device)}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads; {clock}; commit {commit()}.",
        f"{', '.join(f'{name} {version}' for name, version in versions().items())}.",
        f"Sizes: {sizes}.",
        "",
        "Both sides of a ratio run in turn (A B A B ...) in one process; the spread is that of neighbouring pairs.",
        "",
        *HEAD,
        *(line(finding) for finding in findings),
    ]
    return "\n".join(lines) + "\n"


def missed(findings: Sequence[Finding]) -> list[str]:
    """Return the names of the findings that missed their target."""
    return [f.name for f in findings if isinstance(f, TimedPair | Measure) and f.met is False]


def _met(met: bool | None) -> str:
    return {True: "yes", False: "**no**", None: ""}[met]


def _seconds(values: Sequence[float]) -> str:
    middle = median(values)
    return f"{middle:.3g} s" if middle >= 0.1 else f"{1000 * middle:.3g} ms"

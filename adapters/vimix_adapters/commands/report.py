"""``vimix report``: one page about several runs, made from their folders."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import structlog
from attrs import frozen

from vimix.values.checkpoint import Checkpoint
from vimix.values.errors import VimixError
from vimix.values.modality import Modality
from vimix_adapters import config, wiring
from vimix_adapters.checkpoints.checkpoint_folder import FolderCheckpointStore
from vimix_adapters.commands import scores
from vimix_adapters.commands.feature_cache import FeatureCache
from vimix_adapters.commands.paper_figures import RunMetrics, read_run_metrics
from vimix_adapters.commands.report_clips import encoded_clip
from vimix_adapters.commands.report_panels import ArmFeatures, Panels, build_panels
from vimix_adapters.commands.scores import EvaluationTarget
from vimix_adapters.commands.stage_folders import stages_of_arm
from vimix_adapters.config.tree import tree_of
from vimix_adapters.files import require_new
from vimix_adapters.metrics.logs import configure_logging
from vimix_adapters.prepare.progress import progress_bar
from vimix_adapters.reading import read_json
from vimix_adapters.reports.console import plain_console
from vimix_adapters.reports.page.catalogue import Catalogue
from vimix_adapters.reports.page.embedding import require_method
from vimix_adapters.reports.page.overview import RunFacts, changed_keys, facts_of, overview_of
from vimix_adapters.reports.page.page import Page, write_page
from vimix_adapters.reports.page.training import boundaries_of, curves_of, panels_of
from vimix_adapters.reports.summaries import RunResults, require_sample, run_of
from vimix_adapters.reports.tables import UNTRAINED

log = structlog.get_logger()


@frozen
class PageSettings:
    """Settings of a page."""

    clips: int = 500
    """Most clips inside the page."""
    method: str = "pca"
    """``pca`` or ``umap``: the method that draws features as points of a plane."""
    device: str = "auto"
    overrides: Sequence[str] = ()
    """Keys of the runs' recipes to change, such as data.store."""


@frozen(eq=False)
class FoundRun:
    """A run's folder as it was read."""

    folder: Path
    recipe: config.Recipe
    metrics: RunMetrics
    results: RunResults | None
    facts: RunFacts


def write_report(folders: Sequence[Path], out: Path, settings: PageSettings, force: bool = False) -> None:
    """Write the page of all runs in ``folders``, and its numbers beside it with the suffix .json.

    A folder may hold several seeds. Retrieval, errors, maps and modalities are those of the first run of each recipe.
    Missing parts are left out and named on the page. Raises VimixError if a folder holds no run, two runs of one
    recipe have the same seed, ``out`` does not end in .html, or one of the files exists and ``force`` is false.
    """
    if out.suffix != ".html":
        raise VimixError(
            f"--out {out}: expected a name that ends in .html; the numbers go to a file that ends in .json"
        )
    require_method(settings.method)
    for file in (out, out.with_suffix(".json")):
        require_new(file, force)
    configure_logging()
    runs = [_read(run, settings.overrides) for folder in folders for run in _run_folders(folder)]
    for recipe in dict.fromkeys(run.recipe.name for run in runs):
        seeds = [run.recipe.seed for run in runs if run.recipe.name == recipe]
        require_sample([recipe] * len(seeds), seeds)
    catalogue, missing, panels = Catalogue(encoded_clip, settings.clips), _unfinished(runs), []
    firsts: dict[str, FoundRun] = {}
    for run in runs:
        firsts.setdefault(run.recipe.name, run)
    for run in firsts.values():
        try:
            with _bar() as encoding:
                panels.append(_panels(run, catalogue, settings, missing, encoding))
        except VimixError as error:
            missing.append(f"{run.facts.folder}: no clips, errors, maps and modalities: {error}")
    _write(out, runs, missing, panels, catalogue)
    print(f"written to {out} ({out.stat().st_size / 1e6:.1f} MB) and {out.with_suffix('.json')}")


def write_page_of_run(folder: Path, target: EvaluationTarget, arms: Sequence[ArmFeatures]) -> None:
    """Write ``report.html`` and ``report.json`` of a run that was just evaluated into its folder."""
    run, settings = _read(folder), PageSettings()
    catalogue, missing = Catalogue(encoded_clip, settings.clips), _unfinished([run])
    with _bar() as encoding:
        panels = build_panels(target, arms, catalogue, settings.method, encoding)
    _write(folder / "report.html", [run], missing, [panels], catalogue)


@contextmanager
def page_or_warning(folder: Path) -> Iterator[None]:
    """If the page of ``folder`` cannot be written, warn instead of failing: the scores took hours and are safe."""
    try:
        yield
    except (VimixError, OSError) as error:
        log.warning("page.not_written", folder=str(folder), reason=str(error))


def _run_folders(folder: Path) -> list[Path]:
    """The folder, or those of its seeds. Raises VimixError if there is no run."""
    seeds = sorted((file.parent for file in folder.glob("seed-*/recipe.toml")), key=_seed_number)
    if not seeds and not (folder / "recipe.toml").is_file():
        raise VimixError(f"{folder}: expected the folder of a run (vimix run), which has a recipe.toml")
    return seeds or [folder]


def _seed_number(folder: Path) -> tuple[int, str]:
    number = folder.name.removeprefix("seed-")
    return (int(number) if number.isdecimal() else 0, folder.name)


def _read(folder: Path, overrides: Sequence[str] = ()) -> FoundRun:
    recipe = config.read_recipe(folder / "recipe.toml", overrides, recorded=True)
    (metrics, *_) = read_run_metrics(folder)
    facts = RunFacts(
        recipe.name,
        recipe.seed,
        folder.resolve().name,
        changed=changed_keys(tree_of(recipe), tree_of(_defaults(recipe))),
        repeat=f"vimix run recipe.toml --out {folder.resolve().name}",
    )
    file = folder / "results.json"
    if not file.exists():
        return FoundRun(folder, recipe, metrics, None, facts)
    content = read_json(file, "the results of a run")
    return FoundRun(folder, recipe, metrics, run_of(content, file), facts_of(content, file, facts))


def _defaults(recipe: config.Recipe) -> config.Recipe:
    """The recipe with defaults for all keys that have one; name, store, encoders' names and arms are the recipe's."""
    modalities = {
        name: config.ModalitySettings(encoder=modality.encoder) for name, modality in recipe.modalities.items()
    }
    return config.Recipe(name="", data=config.Data(store=""), modalities=modalities)


def _unfinished(runs: Sequence[FoundRun]) -> list[str]:
    """The parts that the runs have not finished yet, in words."""
    found = []
    for run in runs:
        if run.results is None:
            found.append(f"{run.facts.folder}: no scores, as the run has not been evaluated (no results.json)")
        for arm, settings in run.recipe.arms.items():
            begun = len(run.metrics.stages.get(arm, ()))
            if begun < len(settings.stages):
                found.append(f"{run.facts.folder}: {arm} has metrics of {begun} of its {len(settings.stages)} stages")
    return found


def _panels(
    run: FoundRun,
    catalogue: Catalogue,
    settings: PageSettings,
    missing: list[str],
    encoding: Callable[[int], Callable[[], None]],
) -> Panels:
    recipe = run.recipe
    compute, store = wiring.build_compute(recipe, settings.device), wiring.build_store(recipe)
    target = scores.evaluation_targets(recipe, store)[0]
    trained = {arm: _newest(run, arm) for arm in recipe.arms}
    missing += [
        f"{run.facts.folder}: no checkpoint of {arm}, so no clips and maps of it" for arm in trained if not trained[arm]
    ]
    if not any(trained.values()):
        raise VimixError(f"{run.folder} holds no checkpoint of a finished stage")
    networks = scores.build_networks(recipe, {arm: newest for arm, newest in trained.items() if newest}, compute)
    cache = FeatureCache(run.folder / "features")
    arms = []
    for arm, by_modality in networks.items():
        pairs = scores.in_order(recipe, scores.extract(target, by_modality, compute, cache=cache))
        measured = scores.measure(target.recipe, pairs)
        arms.append(ArmFeatures(recipe.title(arm), pairs, measured, trained=arm != UNTRAINED))
    return build_panels(target, arms, catalogue, settings.method, encoding)


def _newest(run: FoundRun, arm: str) -> dict[Modality, Checkpoint]:
    """The newest checkpoint of each modality that the arm has trained."""
    found: dict[Modality, Checkpoint] = {}
    for folder, stage in stages_of_arm(run.recipe, run.folder, arm):
        checkpoints = FolderCheckpointStore(folder)
        progress = checkpoints.progress() if checkpoints.exists() else None
        if progress is not None and progress.finished and (last := checkpoints.last()) is not None:
            found |= {modality: last.of(modality).query_only for modality in map(Modality, stage.trained)}
    return found


def _write(
    out: Path, runs: Sequence[FoundRun], missing: Sequence[str], panels: Sequence[Panels], catalogue: Catalogue
) -> None:
    curves = [
        curves_of(run.recipe.name, run.recipe.seed, run.recipe.title(arm), stages)
        for run in runs
        for arm, stages in run.metrics.stages.items()
    ]
    boundaries = [
        one
        for run in runs
        for arm, stages in run.metrics.stages.items()
        for one in boundaries_of(run.recipe.name, run.recipe.title(arm), stages)
    ]
    results = [run.results for run in runs if run.results is not None]
    names = list(dict.fromkeys(run.recipe.name for run in runs))
    page = Page(
        title=f"vimix: {', '.join(names)}",
        overview=overview_of(results, [run.facts for run in runs], missing),
        panels=panels_of(curves),
        boundaries=list(dict.fromkeys(boundaries)),
        galleries=[one for of_run in panels for one in of_run.galleries],
        maps=[one for of_run in panels for one in of_run.maps],
        errors=[one for of_run in panels for one in of_run.errors],
        matrices=[one for of_run in panels for one in of_run.matrices],
        videos=catalogue.cards(),
        clips=catalogue.clips,
    )
    write_page(page, out)


@contextmanager
def _bar() -> Iterator[Callable[[int], Callable[[], None]]]:
    """Yield a function of a number of clips that shows a bar and returns the function to call after each clip."""
    with progress_bar("encoding clips", "clips", plain_console(stderr=True)) as show:

        def encoding(total: int) -> Callable[[], None]:
            numbers = count(1)
            return lambda: show(next(numbers), total)

        yield encoding

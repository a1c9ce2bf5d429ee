"""Options and arguments that several commands share."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from vimix_adapters.prepare.engines import Engine, RayEngine

RecipeFile = Annotated[Path, typer.Argument(help="Recipe in TOML; experiments/ has examples.", metavar="RECIPE")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the recipe, such as optim.lr=3e-4; repeatable.", metavar="KEY=VALUE"),
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N; auto uses a CUDA GPU if there is one.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
Workers = Annotated[int, typer.Option(help="Number of worker processes; 0 takes one for each core.", min=0)]


def worker_count(workers: int) -> int:
    """Return the number of processes for ``--workers``: 0 stands for the cores that this process may use.

    A job of a cluster may use fewer than its machine has.
    """
    from vimix_adapters.reports.environment import cores

    return workers or cores()


EngineName = Literal["local", "ray"]
EngineOption = Annotated[
    EngineName,
    typer.Option(
        "--engine", help="local: worker processes of this machine; ray: a Ray cluster, which needs the extra [ray]."
    ),
]
Address = Annotated[
    str,
    typer.Option(
        help="Address of the Ray cluster, auto for the one that runs here; default: RAY_ADDRESS, else a new one.",
        metavar="HOST:PORT",
    ),
]


GpusPerTask = Annotated[
    float, typer.Option(help="Share of a GPU that a task of Ray takes, such as 0.25; 0: none.", min=0, max=1)
]


def engine_of(name: EngineName, address: str, workers: int, gpus: float = 0.0) -> "Engine":
    """Return the engine of the options; ``workers = 0`` uses all cores of the machine or of the Ray cluster.

    Raises VimixError for options of Ray without Ray.
    """
    from vimix_adapters.prepare.engines import LocalEngine

    return ray_engine(name, address, gpus, workers) or LocalEngine(worker_count(workers))


def ray_engine(
    name: EngineName, address: str, gpus: float, workers: int = 0, device: str = "auto"
) -> "RayEngine | None":
    """Return the Ray engine of the options; None if the work is to be done on this machine.

    Raises VimixError for options of Ray without Ray, and for a device with Ray.
    """
    from vimix.values.errors import VimixError
    from vimix_adapters.prepare.engines import RayEngine

    if name != "ray" and (address or gpus):
        raise VimixError(f"{'--address' if address else '--gpus-per-task'} is for a Ray cluster: add --engine ray")
    if name == "ray" and device != "auto":
        raise VimixError("--device is for this machine: tasks of Ray use a GPU with --gpus-per-task, else the CPU")
    return RayEngine(workers, address, gpus) if name == "ray" else None


def with_options(
    command: Callable[..., None], build: Callable[..., Any], name: str, **defaults: Any
) -> Callable[..., None]:
    """Give a command the options of ``build``, whose result it gets as its parameter ``name``.

    ``defaults`` replace defaults of these options.
    """
    own = [p for p in inspect.signature(command).parameters.values() if p.name != name]
    shared = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=defaults.get(p.name, p.default))
        for p in inspect.signature(build).parameters.values()
    ]
    names = {parameter.name for parameter in shared}

    def wrapped(**given: Any) -> None:
        built = build(**{key: value for key, value in given.items() if key in names})
        command(**{key: value for key, value in given.items() if key not in names}, **{name: built})

    parameters = [*own, *shared]
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    return wrapped

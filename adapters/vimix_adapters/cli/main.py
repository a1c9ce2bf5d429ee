"""The command line. Heavy modules are imported by the commands that need them, so that help is instant."""

import errno
import os
import re
import sys
import traceback
from contextlib import suppress
from typing import Any

import typer

from vimix.values.errors import VimixError
from vimix_adapters.cli import bench, evaluate, experiments, index, prepare, store
from vimix_adapters.cli import run as run_commands
from vimix_adapters.cli.bench_data import bench_data
from vimix_adapters.cli.doctor import doctor
from vimix_adapters.cli.export import export
from vimix_adapters.cli.extract import extract
from vimix_adapters.cli.flow import flow
from vimix_adapters.cli.hub import pull, push
from vimix_adapters.cli.import_weights import import_weights
from vimix_adapters.cli.predict import predict
from vimix_adapters.cli.report import mix_preview, report
from vimix_adapters.cli.synth import synth
from vimix_adapters.files import FULL
from vimix_adapters.terminal import plain_streams

LESS_MEMORY = "lower optim.batch, data.size or data.frames (for an evaluation evaluate.batch_clips), or free memory"
"""Advice after an error of memory."""

app = typer.Typer(
    name="vimix",
    help="Self-supervised video representations by cross-modal manifold cutmix (Vi-Mix).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help takes a third of the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(synth)
app.add_typer(prepare.app, name="prepare")
app.command()(flow)
app.add_typer(store.app, name="store")
app.command()(run_commands.pretrain)
app.command("cmmc-stage")(run_commands.cmmc_stage)
app.command("run")(run_commands.run_recipe)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(index.app, name="index")
app.command("bench-data")(bench_data)
app.command()(report)
app.command("mix-preview")(mix_preview)
app.command()(doctor)
app.add_typer(experiments.app, name="experiments")
app.command("export")(export)
app.command("import")(import_weights)
app.command("extract")(extract)
app.command()(predict)
app.command()(push)
app.command()(pull)
app.command("bench")(bench.bench)


def run() -> None:
    """Run the command; a mistake of the user or an error of the system is one line on stderr and exit code 2."""
    _keep_streams()
    with plain_streams():
        _run()


def _run() -> None:
    try:
        app()
    except VimixError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}: no incomplete file was left; {_advice(error)}, then call again", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if (line := _out_of_memory(error)) is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: call the same command again to continue", file=sys.stderr)
        sys.exit(130)


def _advice(error: OSError) -> str:
    if error.errno in FULL:
        return "free some space"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "allow more open files (ulimit -n 4096) or use fewer workers"
    return "make that file or folder accessible, or name another one"


def _out_of_memory(error: BaseException) -> str | None:
    """The line for an error of memory, on the CPU or a GPU: who asked for how much; None for any other error."""
    text = " ".join(str(error).split())
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if not (on_gpu or isinstance(error, MemoryError) or "not enough memory" in text or "can't allocate memory" in text):
        return None
    size = re.search(r"(?i)allocate ([\d.,]+ ?(?:bytes|[KMGTPE]iB))", text)
    asked = f" for {size[1]}" if size else ""
    return f"out of memory{' on the GPU' if on_gpu else ''}: {_asker(error)} asked{asked}; {LESS_MEMORY}"


def _asker(error: BaseException) -> str:
    """The innermost function of vimix in the traceback."""
    frames = [
        f"{module} ({frame.f_code.co_name})"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if (module := str(frame.f_globals.get("__name__"))).split(".")[0] in ("vimix", "vimix_adapters")
    ]
    return frames[-1] if frames else "a library"


class LossyStream:
    """A text stream that drops what cannot be written: the reader has gone, or its disk is full."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write if possible."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _keep_streams() -> None:
    """Open the null device in place of closed standard streams, and drop messages to stderr that cannot be written.

    The next file that a program opens takes the number of a closed stream, and libraries would write their messages
    into it. A command does its work even if nobody reads its messages.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # for the life of the process
    if not isinstance(sys.stderr, LossyStream):
        sys.stderr = LossyStream(sys.stderr)


if __name__ == "__main__":
    run()

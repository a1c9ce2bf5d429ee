"""The command line. Heavy modules are imported by the commands that need them, so that help is instant."""

import errno
import sys

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
from vimix_adapters.cli.memory_errors import out_of_memory
from vimix_adapters.cli.predict import predict
from vimix_adapters.cli.report import mix_preview, report
from vimix_adapters.cli.standard_streams import keep_streams
from vimix_adapters.cli.synth import synth
from vimix_adapters.files import FULL
from vimix_adapters.terminal import plain_streams

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
    keep_streams()
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
        if (line := out_of_memory(error)) is None:
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


if __name__ == "__main__":
    run()

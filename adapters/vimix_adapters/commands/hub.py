"""``vimix push`` and ``vimix pull``: an encoder in a repository of the Hugging Face Hub, with its recipe and card."""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

from vimix.values.errors import VimixError
from vimix_adapters.checkpoints.checkpoint_folder import load_trained
from vimix_adapters.checkpoints.foreign import read_weights
from vimix_adapters.commands.export import export_checkpoint
from vimix_adapters.commands.import_weights import import_checkpoint
from vimix_adapters.files import make_folder, require_new

if TYPE_CHECKING:
    from huggingface_hub import HfApi

WEIGHTS, RECIPE, CARD = "encoder.safetensors", "recipe.toml", "README.md"
"""Files of a repository: what ``vimix export`` writes, the recipe, and the model card."""
FRONT_MATTER = (
    "---\nlibrary_name: vimix\npipeline_tag: video-classification\ntags: [vimix, self-supervised, video]\n---\n\n"
)


def push_checkpoint(checkpoint: Path, repository: str, private: bool = False) -> None:
    """Upload the encoder of a checkpoint, its recipe and its model card; a missing repository is created.

    Raises VimixError if the extra [hub] is not installed, the checkpoint has no encoder, or the Hub refuses or
    cannot be reached.
    """
    api = _api()
    recipe = load_trained(checkpoint).recipe
    with TemporaryDirectory() as made:
        folder = Path(made)
        export_checkpoint(checkpoint, "safetensors", folder / WEIGHTS)
        card = (folder / f"{WEIGHTS}.md").read_text(encoding="utf-8")
        (folder / CARD).write_text(FRONT_MATTER + card, encoding="utf-8")
        (folder / RECIPE).write_text(recipe, encoding="utf-8")
        message, files = f"Encoder of {checkpoint.name} from vimix", [WEIGHTS, RECIPE, CARD]
        with _refusals(repository):
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository, folder_path=folder, allow_patterns=files, commit_message=message
            )
    print(f"pushed to {commit.repo_url}")


def pull_checkpoint(repository: str, out: Path, revision: str | None = None, force: bool = False) -> None:
    """Download an encoder into ``out`` and make ``out/last.pt`` of it.

    Raises VimixError if the extra [hub] is not installed, there is no such repository or file, the Hub cannot be
    reached, or ``out`` holds one of the files and ``force`` is false.
    """
    api = _api()
    for name in (WEIGHTS, RECIPE, CARD, "last.pt"):
        require_new(out / name, force)
    make_folder(out)
    with _refusals(repository):
        for name in (WEIGHTS, RECIPE, CARD):
            api.hf_hub_download(repository, name, revision=revision, local_dir=out)
    modality = read_weights(out / WEIGHTS).about.get("modality")
    if modality is None:
        raise VimixError(f"{repository}: {WEIGHTS} names no modality, so vimix did not push it")
    import_checkpoint(out / WEIGHTS, modality, out, "vimix", force=force)


def _api() -> "HfApi":
    if importlib.util.find_spec("huggingface_hub") is None:
        raise VimixError("huggingface_hub is not installed; install the extra: pip install 'vimix-ssl[hub]'")
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="vimix")


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Turn errors of the Hub and of the network into VimixError."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    # HTTPError of the HTTP client, which is httpx or httpx2, as the version of huggingface_hub has it.
    client_error = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        yield
    except LocalEntryNotFoundError as error:  # an EntryNotFoundError, but of the cache: the Hub gave no answer
        raise _unreachable(repository, error.__cause__ or error) from error
    except RepositoryNotFoundError as error:
        raise VimixError(
            f"{repository}: there is no such repository, or you may not see it: log in (hf auth login)"
        ) from error
    except EntryNotFoundError as error:
        raise VimixError(f"{repository}: it lacks {WEIGHTS}, {RECIPE} or {CARD}, so vimix did not push it") from error
    except HFValidationError as error:
        raise VimixError(f"{repository}: expected OWNER/NAME") from error
    except HfHubHTTPError as error:
        raise VimixError(f"{repository}: the Hub refused: {_in_short(error)}") from error
    except (client_error, ConnectionError, TimeoutError) as error:
        raise _unreachable(repository, error) from error


def _unreachable(repository: str, error: BaseException) -> VimixError:
    return VimixError(
        f"{repository}: the Hub cannot be reached ({_in_short(error)}): connect this machine to the network, check "
        "HF_ENDPOINT and HF_HUB_OFFLINE if they are set, then call again"
    )


def _in_short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]

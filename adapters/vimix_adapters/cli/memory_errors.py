"""One line for an error of memory, on the CPU or a GPU: who asked for how much, and which settings to lower."""

import re
import sys
import traceback

ADVICE = "lower optim.batch, data.size or data.frames (for an evaluation evaluate.batch_clips), or free memory"
PACKAGES = ("vimix", "vimix_adapters")


def out_of_memory(error: BaseException) -> str | None:
    """The line for an error of memory; None for any other error."""
    text = " ".join(str(error).split())
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    if not (on_gpu or isinstance(error, MemoryError) or "not enough memory" in text or "can't allocate memory" in text):
        return None
    size = re.search(r"(?i)(?:allocate|tried to allocate) ([\d.,]+ ?(?:bytes|[KMGTPE]iB))", text)
    asked = f" for {size[1]}" if size else ""
    return f"out of memory{' on the GPU' if on_gpu else ''}: {_asker(error)} asked{asked}; {ADVICE}"


def _asker(error: BaseException) -> str:
    """The innermost function of vimix in the traceback."""
    frames = [
        f"{module} ({frame.f_code.co_name})"
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if (module := str(frame.f_globals.get("__name__"))).split(".")[0] in PACKAGES
    ]
    return frames[-1] if frames else "a library"

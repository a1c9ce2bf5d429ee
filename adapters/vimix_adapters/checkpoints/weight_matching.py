"""Which foreign tensor belongs to which of an encoder's: prefixes found, shapes checked, everything accounted for."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from attrs import field, frozen
from torch import Size, Tensor

from vimix_adapters.checkpoints.weight_formats import WeightFormat

COPIES = ("encoder_k", "momentum", "teacher", "target", "sampler", "ema", "key")
"""Words of a prefix that mark a copy: the key encoder, or (CoCLR's sampler) the encoder of another modality."""


@frozen(eq=False)
class WeightMatch:
    """The encoder's tensors that were found, and what was not."""

    prefix: str
    """What stands before the encoder's names in the file."""
    found: Mapping[str, Tensor]
    """By the encoder's names, each of the encoder's shape."""
    missing: tuple[str, ...]
    """The encoder's names that the file lacks; counters of batches, which old files do not have, apart."""
    misshapen: tuple[str, ...]
    """``name: shape in the file, shape expected``."""
    unexpected: tuple[str, ...]
    """Names under the prefix that are neither of the encoder nor of a head: another network's."""
    dropped: Mapping[str, int] = field(factory=dict)
    """Tensors outside the encoder (heads, queues, the key encoder ...), counted by the start of their names."""

    @property
    def share(self) -> float:
        """Matched part of all that should or should not be there, 0 to 1."""
        wrong = len(self.missing) + len(self.misshapen) + len(self.unexpected)
        return len(self.found) / max(1, len(self.found) + wrong)


def match_weights(tensors: Mapping[str, Tensor], expected: Mapping[str, Size], layout: WeightFormat) -> WeightMatch:
    """Match a file's tensors with an encoder's names and shapes under the best prefix."""
    prefix = _best_prefix(tensors, set(expected), layout)
    found: dict[str, Tensor] = {}
    misshapen, unexpected, outside = [], [], Counter[str]()
    for name, tensor in tensors.items():
        rest = name.removeprefix(prefix)
        target = layout.rename(rest) if name.startswith(prefix) else None
        if target is not None and target in expected:
            if tensor.shape == expected[target]:
                found[target] = tensor
            else:
                misshapen.append(f"{name}: {list(tensor.shape)} in the file, {list(expected[target])} expected")
        elif not name.startswith(prefix) or _aside(rest, layout):
            outside[_start(name)] += 1
        else:
            unexpected.append(name)
    absent = [n for n in expected if n not in found and not n.endswith("num_batches_tracked")]
    wrong = {layout.rename(line.partition(": ")[0].removeprefix(prefix)) for line in misshapen}
    missing = tuple(name for name in absent if name not in wrong)
    return WeightMatch(prefix, found, missing, tuple(misshapen), tuple(unexpected), dict(outside))


def renamed(tensors: Mapping[str, Tensor], names: set[str], layout: WeightFormat) -> dict[str, Tensor]:
    """The tensors under the best prefix by the encoder's names, whatever their shapes."""
    prefix = _best_prefix(tensors, names, layout)
    inside = {name: value for name, value in tensors.items() if name.startswith(prefix)}
    targets = {name: layout.rename(name.removeprefix(prefix)) for name in inside}
    return {target: inside[name] for name, target in targets.items() if target is not None and target in names}


def best_layout(
    tensors: Mapping[str, Tensor], names: Callable[[WeightFormat], set[str]], layouts: Mapping[str, WeightFormat]
) -> str | None:
    """The layout that finds most of its encoder's ``names`` (the first of equals); None if none finds any."""
    counts = {key: max(_votes(tensors, names(lay), lay).values(), default=0) for key, lay in layouts.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def _best_prefix(tensors: Mapping[str, Tensor], names: set[str], layout: WeightFormat) -> str:
    """The prefix under which most names are the encoder's; of equals a wanted one, no copy, the shortest."""
    votes = _votes(tensors, names, layout)

    def rank(prefix: str) -> tuple[bool, int, bool, bool, int, str]:
        words = prefix.split(".")
        wanted = any(word in layout.prefers for word in words)
        copy = any(mark in word for word in words for mark in COPIES)
        other = any(word in layout.avoids for word in words)
        return not other, votes[prefix], not copy, wanted, -len(prefix), prefix

    return max(votes, key=rank, default="")


def _votes(tensors: Mapping[str, Tensor], names: set[str], layout: WeightFormat) -> dict[str, int]:
    """How many of the encoder's names are found under each prefix."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name in tensors:
        parts = name.split(".")
        for cut in range(len(parts)):
            target = layout.rename(".".join(parts[cut:]))
            if target is not None and target in names:
                found["".join(f"{part}." for part in parts[:cut])].add(target)
    return {prefix: len(targets) for prefix, targets in found.items()}


def _aside(name: str, layout: WeightFormat) -> bool:
    """A head, a constant, or a queue or counter of the method: no layer of the encoder."""
    return name.startswith((*layout.heads, "queue", "ptr", "logit_scale")) or name in layout.constants


def _start(name: str) -> str:
    """``encoder_k.0.Conv_1a...`` -> ``encoder_k``; wrappers that all names share do not tell them apart."""
    parts = [part for part in name.split(".") if part not in ("module", "_orig_mod", "model")]
    return parts[0] if parts else name

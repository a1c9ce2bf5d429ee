"""Matches the tensors of a file with those of an encoder: finds the prefix, checks shapes, accounts for all names."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from attrs import field, frozen
from torch import Size, Tensor

from vimix_adapters.checkpoints.weight_formats import WeightFormat

COPIES = ("encoder_k", "momentum", "teacher", "target", "sampler", "ema", "key")
"""Words of a prefix that mark a copy: the key encoder, or the encoder of another modality (CoCLR's sampler)."""


@frozen(eq=False)
class WeightMatch:
    """Tensors of the encoder that the file has, and the names that do not match."""

    prefix: str
    """The prefix of the encoder's names in the file."""
    found: Mapping[str, Tensor]
    """Tensors of the right shape by the encoder's names."""
    missing: tuple[str, ...]
    """Names of the encoder that the file lacks, except counters of batches, which old files never have."""
    misshapen: tuple[str, ...]
    """Tensors of another shape, each as "name: shape in the file, shape expected"."""
    unexpected: tuple[str, ...]
    """Names under the prefix that belong neither to the encoder nor to a head: those of another network."""
    dropped: Mapping[str, int] = field(factory=dict)
    """Number of tensors outside the encoder (heads, queues, the key encoder ...) by the start of their names."""

    @property
    def share(self) -> float:
        """Share of matches among all matches and mismatches, 0 to 1."""
        wrong = len(self.missing) + len(self.misshapen) + len(self.unexpected)
        return len(self.found) / max(1, len(self.found) + wrong)


def match_weights(tensors: Mapping[str, Tensor], expected: Mapping[str, Size], layout: WeightFormat) -> WeightMatch:
    """Match a file's tensors with an encoder's names and shapes under the best prefix."""
    prefix = _best_prefix(tensors, expected, layout)
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


def renamed(tensors: Mapping[str, Tensor], shapes: Mapping[str, Size], layout: WeightFormat) -> dict[str, Tensor]:
    """Tensors under the best prefix by the encoder's names; numbers of channels are not checked."""
    prefix = _best_prefix(tensors, shapes, layout)
    inside = {name: value for name, value in tensors.items() if name.startswith(prefix)}
    targets = {name: layout.rename(name.removeprefix(prefix)) for name in inside}
    return {target: inside[name] for name, target in targets.items() if target is not None and target in shapes}


def best_layout(
    tensors: Mapping[str, Tensor],
    shapes: Callable[[WeightFormat], Mapping[str, Size]],
    layouts: Mapping[str, WeightFormat],
) -> str | None:
    """The layout that finds most of its encoder's names with kernels of their size; None if no layout finds any.

    ``shapes`` are those of a layout's encoder at any width. Among equals, the layout whose encoder has the fewest names
    that are not found wins, then the first.
    """
    counts = {}
    for key, layout in layouts.items():
        expected = shapes(layout)
        votes = _votes(tensors, expected, layout)
        found = max(votes.values(), default=0)
        counts[key] = (found, found - len(expected))
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best and counts[best][0] else None


def _best_prefix(tensors: Mapping[str, Tensor], shapes: Mapping[str, Size], layout: WeightFormat) -> str:
    """The prefix with most of the encoder's names; among equals no copy, then a preferred one, then the shortest."""
    votes = _votes(tensors, shapes, layout)

    def rank(prefix: str) -> tuple[bool, int, bool, bool, int, str]:
        words = prefix.split(".")
        wanted = any(word in layout.prefers for word in words)
        copy = any(mark in word for word in words for mark in COPIES)
        other = any(word in layout.avoids for word in words)
        return not other, votes[prefix], not copy, wanted, -len(prefix), prefix

    return max(votes, key=rank, default="")


def _votes(tensors: Mapping[str, Tensor], shapes: Mapping[str, Size], layout: WeightFormat) -> dict[str, int]:
    """Number of the encoder's names, with kernels of their size, that are found under each prefix."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, tensor in tensors.items():
        parts = name.split(".")
        for cut in range(len(parts)):
            target = layout.rename(".".join(parts[cut:]))
            if target is not None and target in shapes and tensor.shape[2:] == shapes[target][2:]:
                found["".join(f"{part}." for part in parts[:cut])].add(target)
    return {prefix: len(targets) for prefix, targets in found.items()}


def _aside(name: str, layout: WeightFormat) -> bool:
    """Whether the name is that of a head, a constant, or the queue or a counter of the method."""
    return name.startswith((*layout.heads, "queue", "ptr", "logit_scale")) or name in layout.constants


def _start(name: str) -> str:
    """The first part of a name that is not a wrapper's: ``module.encoder_k.0.Conv_1a...`` gives ``encoder_k``."""
    parts = [part for part in name.split(".") if part not in ("module", "_orig_mod", "model")]
    return parts[0] if parts else name

"""Builds the parts of the recipe's protocol that turn features into scores."""

from collections.abc import Callable, Mapping

from vimix.domain.scores.feature_scaling import BY_GALLERY, EACH_BY_ITSELF, Centring, Rows, mean_of_unit_rows, mean_row
from vimix.domain.scores.fusion import MEAN_LOGIT, MEAN_PROBABILITY, Fusion
from vimix_adapters import config
from vimix_adapters.probes.logistic import LogisticProbe
from vimix_adapters.probes.sgd import SgdProbe

CENTRINGS: Mapping[str, Centring] = {"gallery": BY_GALLERY, "each": EACH_BY_ITSELF}
FUSIONS: Mapping[str, Fusion] = {"probabilities": MEAN_PROBABILITY, "logits": MEAN_LOGIT}


def build_probe(recipe: config.Recipe, widths: tuple[int, ...] = ()) -> LogisticProbe | SgdProbe:
    """The linear probe of the protocol; ``widths`` are those of streams that it trains together."""
    sgd = config.protocol_of(recipe).probe
    return LogisticProbe(recipe.evaluate.probe_inverse_regularisation) if sgd is None else SgdProbe(sgd, widths)


def build_pooling(recipe: config.Recipe) -> Callable[[Rows], Rows]:
    """The function from the clip features of a video to its feature."""
    return mean_of_unit_rows if config.protocol_of(recipe).unit_clips else mean_row


def build_centring(recipe: config.Recipe) -> Centring:
    """The centring of features before retrieval."""
    return CENTRINGS[config.protocol_of(recipe).centring]


def build_fusion(recipe: config.Recipe) -> Fusion:
    """The fusion of several streams in classification."""
    return FUSIONS[config.protocol_of(recipe).fusion]

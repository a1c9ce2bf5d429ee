"""The linear probe."""

from vimix_adapters import config
from vimix_adapters.probes.logistic import LogisticProbe


def build_probe(recipe: config.Recipe) -> LogisticProbe:
    """The linear probe."""
    return LogisticProbe(recipe.evaluate.probe_inverse_regularisation)

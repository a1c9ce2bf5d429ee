"""Commands configure the log for the stream of their moment, which a test that captures closes at its end."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_of_this_test_only() -> Iterator[None]:
    yield
    structlog.reset_defaults()

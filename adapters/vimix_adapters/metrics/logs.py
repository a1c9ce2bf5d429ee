"""The log: one line an event, its name and its values, on stderr."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from vimix_adapters.terminal import coloured_stream, printable


def quieten_logging() -> None:
    """Show warnings only: for all ranks of a process group but the first."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def configure_logging() -> None:
    """Write readable structlog lines to stderr, coloured on a terminal."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            _plain,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(coloured_stream(stderr=True)),
        cache_logger_on_first_use=False,
    )


def _plain(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make the texts printable: they name videos and files."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}

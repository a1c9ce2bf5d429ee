"""The one family of errors that a user can mend."""


class VimixError(Exception):
    """Bad input: the message names the file or key, what was expected and what to do.

    The command line prints the message without a traceback and ends with exit code 2.
    """

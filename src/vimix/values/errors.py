"""The one family of errors that a user can mend."""


class VimixError(Exception):
    """Bad input: the message names the file or key, what was expected and what to do.

    The command line prints the message without a traceback and ends with exit code 2.
    """


class Interrupted(BaseException):
    """The run was asked to stop and has saved what it did; started again, it goes on from there.

    Like KeyboardInterrupt it passes those who catch every Exception.
    """

"""Errors that the user can fix, and the interruption of a run."""


class VimixError(Exception):
    """Bad input: the message names the file or key, what was expected and what to do.

    The command line prints the message without a traceback and ends with exit code 2.
    """


class Interrupted(BaseException):
    """The run was asked to stop and has saved its state; when it is started again it continues from there.

    Like KeyboardInterrupt it is no Exception, so ``except Exception`` does not catch it.
    """

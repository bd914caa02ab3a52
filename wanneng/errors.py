"""What the command line says before it exits with 1.

CommandError            one sentence that names the thing and the way out
├── StartError          a server could not be started
└── RequestError        the gateway refused or could not be reached
"""


class CommandError(Exception):
    """Printed as one line on standard error."""


class StartError(CommandError):
    """A server could not be started, or died."""


class RequestError(CommandError):
    """A request was refused, or nobody answered."""

"""What ends a command early, told in one or two plain lines."""


class UserError(Exception):
    """A mistake of the user's; `main` prints its message and exits with code 2."""


class Stopped(Exception):
    """Ctrl-C; `main` prints how to go on and exits with code 130."""


class Diverged(Exception):
    """A run whose loss or weights grew without bound; exit code 3."""

"""What goes wrong with a cluster of `moldau dev`, in one line that says the next step."""


class DevError(Exception):
    """Told to the person as it is."""

"""Fixtures of every test: a real broker. And what a background job of a shell must undo."""

import signal

pytest_plugins = ["moldau.testing"]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell without job control starts "command &" so, and every program that the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""Five client programs behind one small port, so that each can produce for every other: see `port.py`."""

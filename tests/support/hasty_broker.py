"""`moldau serve` of a broker of many whose maintenance does not wait a minute before it touches what was written, and whose readers soon see it. A program; its arguments are those of `moldau`."""

from __future__ import annotations

from moldau.broker import shared
from moldau.cli.main import main
from moldau.log import reader

if __name__ == "__main__":
    shared.BUILD_AGE_MS_MIN = 200
    reader.WINDOW_SECONDS = 0.5
    main()

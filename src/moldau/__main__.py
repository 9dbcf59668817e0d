"""``python -m moldau``: the same command line as the ``moldau`` program."""

from moldau.cli.main import main

if __name__ == "__main__":
    main()

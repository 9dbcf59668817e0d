"""Fixtures of every test: a real broker."""

pytest_plugins = ["moldau.testing"]

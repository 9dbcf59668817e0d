"""The limit of open files."""

from __future__ import annotations

import resource

import pytest

from moldau.server import descriptors


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [256, 5000]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.__setitem__(0, wanted[0]))
    assert descriptors.raise_limit() == 5000
    assert limits == [5000, 5000]


def test_a_kernel_that_takes_less_than_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [256, resource.RLIM_INFINITY]

    def refuse(_: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")
        limits[0] = wanted[0]

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert descriptors.raise_limit() == limits[0] == 8192


def test_a_high_one_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 20, 1 << 20))
    assert descriptors.raise_limit() == 1 << 20


def test_too_low_is_said() -> None:
    assert "256" in (descriptors.warning(256) or "")
    assert descriptors.warning(descriptors.WANTED) is None

"""Base classes of the generated messages: comparing, showing, and the one way in and out of bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, ClassVar, Self

from moldau.protocol.errors import DecodeError, EncodeError, UnsupportedVersionError
from moldau.protocol.primitives import Buffer


class Struct:
    """Part of a message: plain slots. Equal when all fields are; not hashable, because it can be changed."""

    __slots__: tuple[str, ...] = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{self.__class__.__name__}({fields})"


class Message(Struct):
    """A message in all its versions.

    `MIN_VERSION`..`MAX_VERSION` are the stable versions; with `LATEST_UNSTABLE` one more can be read and written.
    Versions from `FLEXIBLE_FROM` on are flexible (0x7FFF: none is). `API_KEY` is -1 where there is none.
    """

    __slots__ = ()

    API_KEY: ClassVar[int] = -1
    MIN_VERSION: ClassVar[int]
    MAX_VERSION: ClassVar[int]
    FLEXIBLE_FROM: ClassVar[int]
    LATEST_UNSTABLE: ClassVar[bool] = False

    _decoders: ClassVar[dict[int, Callable[[Any, int], tuple[Any, int]]]]
    _encoders: ClassVar[dict[int, Callable[[Any, int], bytearray]]]

    @classmethod
    def decode(cls, data: Buffer, version: int, pos: int = 0) -> Self:
        """The message that begins at `pos`. Bytes after it are not looked at.

        Raises `DecodeError` for malformed bytes, and nothing else for any bytes; `UnsupportedVersionError`.
        """
        return cls.decode_at(data, version, pos)[0]

    @classmethod
    def decode_at(cls, data: Buffer, version: int, pos: int) -> tuple[Self, int]:
        """The message that begins at `pos`, and the position after it."""
        decoder = cls._decoders.get(version)
        if decoder is None:
            raise cls._unsupported(version)
        if data.__class__ is not bytes:
            data = bytes(data)
        try:
            message, end = decoder(data, pos)
        except (IndexError, struct.error, UnicodeDecodeError) as problem:
            raise cls._malformed(version, data, pos, problem) from problem
        if end > len(data):
            raise cls._malformed(version, data, pos, None)
        return message, end

    def encode(self, version: int) -> bytes:
        """Raises `EncodeError` for what this version cannot carry, `UnsupportedVersionError`."""
        encoder = self._encoders.get(version)
        if encoder is None:
            raise self._unsupported(version)
        try:
            return bytes(encoder(self, version))
        except (struct.error, TypeError, AttributeError, ValueError) as problem:
            raise self._unwritable(version, problem) from problem

    @classmethod
    def _unsupported(cls, version: int) -> UnsupportedVersionError:
        return UnsupportedVersionError(
            f"{cls.__name__} version {version}, expected {min(cls._decoders)} to {max(cls._decoders)}"
        )

    @classmethod
    def _malformed(cls, version: int, data: Buffer, pos: int, problem: Exception | None) -> DecodeError:
        if isinstance(problem, UnicodeDecodeError):
            came = f"{problem.object[:32]!r} is not UTF-8 ({problem.reason} at {problem.start})"
        else:
            came = f"cut short: it begins at byte {pos} and does not end within the {len(data)} bytes that came"
        return DecodeError(f"{cls.__name__} version {version}: {came}")

    def _unwritable(self, version: int, problem: Exception) -> EncodeError:
        return EncodeError(f"{self.__class__.__name__} version {version}: {problem}")


class RecordsMessage(Message):
    """A message with `records` fields: slices of the input when read, passed through uncopied when written."""

    __slots__ = ()

    _parts_encoders: ClassVar[dict[int, Callable[[Any, int], list[Buffer]]]]

    @classmethod
    def decode_at(cls, data: Buffer, version: int, pos: int) -> tuple[Self, int]:
        """As `Message.decode_at`; `records` fields are memoryviews of `data`, which must not change while they live."""
        decoder = cls._decoders.get(version)
        if decoder is None:
            raise cls._unsupported(version)
        if data.__class__ is not memoryview:
            data = memoryview(data)
        try:
            message, end = decoder(data, pos)
        except (IndexError, struct.error, UnicodeDecodeError) as problem:
            raise cls._malformed(version, data, pos, problem) from problem
        if end > len(data):
            raise cls._malformed(version, data, pos, None)
        return message, end

    def encode_parts(self, version: int) -> list[Buffer]:
        """The message as buffers to be sent one after the other; record buffers are those of the message itself."""
        encoder = self._parts_encoders.get(version)
        if encoder is None:
            raise self._unsupported(version)
        try:
            return encoder(self, version)
        except (struct.error, TypeError, AttributeError, ValueError) as problem:
            raise self._unwritable(version, problem) from problem

    def encode(self, version: int) -> bytes:
        """All of `encode_parts` joined."""
        return b"".join(self.encode_parts(version))

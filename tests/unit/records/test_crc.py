import subprocess
import sys
from types import SimpleNamespace

import pytest

from moldau.records import crc
from moldau.records.crc import crc32c


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of the algorithm's catalogue entry
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_checksums(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum
    assert crc32c(memoryview(bytearray(data))) == checksum


def test_goes_on_from_a_checksum() -> None:
    data = bytes(range(256)) * 300
    assert crc32c(data[1000:], crc32c(data[:1000])) == crc32c(data)


def test_loads_without_the_package_around_it() -> None:
    program = "import sys, moldau.records.validate; print('crc32c' in sys.modules, 'cramjam' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_falls_back_to_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crc, "PathFinder", SimpleNamespace(find_spec=lambda *_: None))
    assert crc._load()(b"123456789") == 0xE3069283

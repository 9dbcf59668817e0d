"""Objects keep the contract of immutable blobs, on servers of different make, and what is their own: keys, retried puts, messages."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blob_store import KeptBlobStoreContract, read_all
from support import azurite, object_servers
from support.aio import opened, run
from support.clients.port import needs
from support.fault_proxy import FaultProxy
from support.s3_servers import CREDENTIALS, NAMES, S3Server, running

from moldau.blobs import objects
from moldau.blobs.object_url import ObjectUrl
from moldau.blobs.objects import Objects, key_of
from moldau.blobs.ports import BlobError

pytestmark = pytest.mark.slow


def connected(url: str, **env: str) -> Objects:
    parsed = ObjectUrl(url)
    return Objects(parsed, parsed.connect({**object_servers.CREDENTIALS, **env}))


@pytest.fixture(params=NAMES)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return running(request.param)


@pytest.fixture(params=object_servers.NAMES)
def opener(request: pytest.FixtureRequest) -> Any:
    url = object_servers.running(request.param).url()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Objects]:
        blobs = connected(url)
        await blobs.open()
        try:
            yield blobs
        finally:
            await blobs.close()

    return opened


class TestObjects(KeptBlobStoreContract):
    @opened
    async def test_a_put_that_comes_twice_at_once(self, it: Objects) -> None:
        assert await asyncio.gather(*(it.put(1, [b"abc", b"d"]) for _ in range(4))) == [4] * 4
        assert await read_all(it, 1, 0, 4) == b"abcd"

    @opened
    async def test_what_is_there_is_not_overwritten(self, it: Objects) -> None:
        await it.put(1, [b"abc"])
        with pytest.raises(BlobError, match="another one of 3 bytes is there"):
            await it.put(1, [b"other"])
        assert await read_all(it, 1, 0, 3) == b"abc"

    @opened
    async def test_without_conditional_puts(self, it: Objects) -> None:
        it._conditional = False
        assert await it.put(1, [b"abc"]) == 3
        assert await it.put(1, [b"abc"]) == 3
        assert await read_all(it, 1, 0, 3) == b"abc"

    @opened
    async def test_large_blobs_go_in_parts(self, it: Objects) -> None:
        data = bytes(range(256)) * (objects.SINGLE_MAX >> 8) + b"end"
        assert await it.put(1, [data]) == len(data)
        assert await it.put(1, [data]) == len(data)
        assert bytes(await it.read(1, 0, len(data))) == data
        assert await it.sizes() == {1: len(data)}

    @opened
    async def test_strangers_in_the_bucket_stay(self, it: Objects) -> None:
        await it._lib.put_async(it._store, "notes.txt", b"whose?")
        await it._lib.put_async(it._store, "01/0000000000000002.blob", b"whose?")
        await it.put(1, [b"abc"])
        assert await it.sizes() == {1: 3}

    @opened
    async def test_more_objects_than_a_page_lists(self, it: Objects) -> None:
        ids = range(1100)
        for at in range(0, 1100, 50):
            await asyncio.gather(*(it.put(n, [b"x"]) for n in ids[at : at + 50]))
        assert await it.sizes() == dict.fromkeys(ids, 1)


def test_keys_begin_with_what_changes_most() -> None:
    assert key_of(0x1234567890ABCDEF) == "ef/1234567890abcdef.blob"
    assert len({key_of(n)[:2] for n in range(1 << 32, (1 << 32) + 256)}) == 256


class TestMessages:
    def test_azure_refuses_a_wrong_key(self) -> None:
        wrong = "bm9ib2R5J3Mga2V5"
        message = "AuthorizationFailure: the account key is wrong"
        self.refused(azurite.running().url(), message, AZURE_STORAGE_ACCOUNT_KEY=wrong)

    def test_azure_has_no_such_container(self) -> None:
        url = azurite.running().url().replace("az://moldau/", "az://nobody/")
        self.refused(url, "ContainerNotFound: the container does not exist")

    def test_azure_has_no_such_account(self) -> None:
        url = azurite.running().url().replace(azurite.ACCOUNT, "nobody")
        self.refused(url, "ResourceNotFound: there is no such account", AZURE_STORAGE_ACCOUNT_NAME="nobody")

    def test_a_wrong_secret(self, server: Any) -> None:
        self.refused(server.url(), "SignatureDoesNotMatch: the secret access key is wrong", AWS_SECRET_ACCESS_KEY="no")

    def test_an_unknown_key(self, server: Any) -> None:
        self.refused(server.url(), ": the access key id is not known there", AWS_ACCESS_KEY_ID="no")

    def test_no_bucket(self, server: Any) -> None:
        url = server.url().replace("s3://moldau/", "s3://nobody/")
        self.refused(url, "NoSuchBucket: the bucket does not exist")

    def refused(self, url: str, message: str, **env: str) -> None:
        async def main() -> None:
            blobs = connected(url, **env)
            for call in (blobs.open, lambda: blobs.put(1, [b"x"]), lambda: blobs.delete(1)):
                with pytest.raises(BlobError, match=message) as caught:
                    await call()
                assert "\n" not in str(caught.value)
                assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)
                assert azurite.KEY not in str(caught.value)
            assert blobs.retries == 0, "another try cannot help"

        run(main())


def test_azure_takes_tokens_of_shared_access() -> None:
    """(Azurite 3.35 knows none for the batches that deletes are sent in.)"""

    def env(rights: str) -> dict[str, str]:
        account = {"AZURE_STORAGE_ACCOUNT_NAME": azurite.ACCOUNT}
        return {**account, "AZURE_STORAGE_SAS_TOKEN": azurite.shared_access(rights)}

    async def main() -> None:
        url = ObjectUrl(azurite.running().url())
        blobs = Objects(url, url.connect(env("rwdl")))
        await blobs.put(1, [b"abc"])
        assert await blobs.sizes() == {1: 3}
        reader = Objects(url, url.connect(env("r")))
        assert await reader.read(1, 0, 3) == b"abc"
        for call in (lambda: reader.put(2, [b"x"]), reader.sizes):
            with pytest.raises(BlobError, match="AuthorizationPermissionMismatch: the identity or token has no right"):
                await call()
        assert reader.retries == 0

    run(main())


def test_credentials_come_from_a_profile_too(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        f"[other]\naws_access_key_id=x\naws_secret_access_key=y\n[mine]\naws_access_key_id={CREDENTIALS['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {CREDENTIALS['AWS_SECRET_ACCESS_KEY']}\n"
    )
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    url = ObjectUrl(server.url())
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "mine"}

    async def main() -> None:
        await Objects(url, url.connect(env)).open()
        with pytest.raises(BlobError, match="access key id is not known"):
            await Objects(url, url.connect({**env, "AWS_PROFILE": "other"})).open()

    run(main())


def test_encryption_by_the_store_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = running("minio")

    async def main() -> None:
        with FaultProxy(server.port) as proxy:
            it = connected(server.url(proxy.endpoint, sse="AES256"))
            await it.put(1, [b"abc"])
            assert b"x-amz-server-side-encryption: AES256" in proxy.heads[-1]
            assert await it.read(1, 0, 3) == b"abc"

    run(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One for 127.0.0.1 that only its own file vouches for."""
    needs("openssl:openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=tests"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*command.split(), *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_certificate_authorities_of_ones_own(certificate: tuple[Path, Path]) -> None:
    running("versitygw")  # or the test is skipped
    server = S3Server("versitygw", certificate)
    try:
        server.start()

        async def main() -> None:
            it = connected(server.url(ca_file=str(certificate[0])))
            await it.open()
            stranger = connected(server.url(deadline_ms="300"))
            with pytest.raises(BlobError, match="cannot use s3://"):
                await stranger.open()

        run(main())
    finally:
        server.close()

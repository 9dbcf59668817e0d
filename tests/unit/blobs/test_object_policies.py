"""The pure parts around objects: waits, budgets, delays, ranges, URLs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import obstore
import pytest

from moldau.blobs.hedge import DELAY_SECONDS_MIN, KNOWN_MIN, Hedges
from moldau.blobs.object_url import BadUrl, ObjectUrl
from moldau.blobs.ranges import coalesce
from moldau.blobs.retry import FIRST_SECONDS, SAVED_MAX, WAIT_SECONDS_MAX, RetryBudget, wait_seconds


def test_waits_double_up_to_a_bound_and_are_spread() -> None:
    assert [wait_seconds(attempt, lambda: 1.0) / FIRST_SECONDS for attempt in (1, 2, 3)] == [2, 4, 8]
    assert wait_seconds(1000, lambda: 1.0) == WAIT_SECONDS_MAX
    assert wait_seconds(5, lambda: 0.0) == 0


def test_a_success_earns_a_tenth_of_a_retry() -> None:
    budget = RetryBudget()
    for _ in range(int(SAVED_MAX)):
        assert budget.spend()
    assert not budget.spend()
    for _ in range(11):
        budget.earn()
    assert budget.spend()
    assert not budget.spend()
    for _ in range(10_000):
        budget.earn()
    assert budget.saved == SAVED_MAX


def test_late_is_later_than_most_of_the_same_size() -> None:
    hedges = Hedges()
    assert hedges.delay(10) is None
    for n in range(100):
        hedges.took(10, 0.010 + n / 10_000)
    delay = hedges.delay(10)
    assert delay is not None
    assert 0.0185 < delay < 0.0199
    assert hedges.delay(1 << 20) is None, "larger ones are slower"
    for _ in range(KNOWN_MIN * 10):
        hedges.took(10, 0.0001)
    assert hedges.delay(10) == DELAY_SECONDS_MIN


def test_neighbours_share_a_request() -> None:
    assert coalesce([], 10, 100) == []
    assert coalesce([(5, 0)], 10, 100) == []
    assert coalesce([(50, 5), (0, 10), (20, 10)], 10, 100) == [(0, 30, [1, 2]), (50, 5, [0])]
    assert coalesce([(0, 10), (21, 10)], 10, 100) == [(0, 10, [0]), (21, 10, [1])]
    assert coalesce([(0, 60), (60, 60)], 10, 100) == [(0, 60, [0]), (60, 60, [1])]
    assert coalesce([(0, 200), (10, 5), (0, 3)], 10, 100) == [(0, 3, [2]), (0, 200, [0, 1])]
    assert coalesce([(0, 50), (10, 5), (40, 20)], 10, 100) == [(0, 60, [0, 1, 2])]


class TestUrl:
    def test_its_parts(self) -> None:
        url = ObjectUrl("s3://bucket/some/prefix/?region=eu-north-1&timeout_ms=1500")
        assert (url.bucket, url.prefix, url.options["region"], url.timeout_seconds) == (
            "bucket",
            "some/prefix",
            "eu-north-1",
            1.5,
        )
        assert str(url) == "s3://bucket/some/prefix"
        assert str(ObjectUrl("gs://bucket")) == "gs://bucket"

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("ftp://x/y", "expected s3://, gs://, az:// or file:///"),
            ("bucket", "expected s3://"),
            ("s3:///prefix", "there is no bucket"),
            ("s3://key:secret@bucket/x", "use the environment"),
            ("s3://b/x?access_key_id=AKIA", "use the environment"),
            ("s3://b/x?secret_access_key=hush", "secret_access_key does not belong into the URL"),
            ("s3://b/x?session_token=hush", "use the environment"),
            ("s3://b/x?color=red", "there is no option color; expected endpoint, region"),
            ("gs://b/x?region=x", "option region is for s3://"),
            ("az://b/x?sas_token=hush", "sas_token does not belong into the URL"),
            ("s3://b/x?path_style=maybe", "path_style=maybe: expected true or false"),
            ("s3://b/x?timeout_ms=0", "expected milliseconds"),
            ("s3://b/x?timeout_ms=soon", "expected milliseconds"),
            ("s3://b/x?region=a&region=b", "option region is there twice"),
            ("s3://b/x?sse=rot13", "sse=rot13: expected AES256"),
            ("s3://b/x#y", "expected no #"),
        ],
    )
    def test_what_is_wrong_is_said(self, url: str, message: str) -> None:
        with pytest.raises(BadUrl) as caught:
            ObjectUrl(url)
        assert message in str(caught.value)
        assert "hush" not in str(caught.value)
        assert "AKIA" not in str(caught.value)

    @pytest.mark.parametrize(
        ("query", "message"),
        [("endpoint=127.0.0.1:9000", "expected http://HOST:PORT"), ("ca_file=/nowhere/ca.pem", "No such file")],
    )
    def test_what_shows_at_connecting(self, query: str, message: str) -> None:
        with pytest.raises(BadUrl, match=message):
            ObjectUrl(f"s3://b/x?{query}").connect({"HOME": "/nowhere"})

    def test_a_profile_that_is_not_there(self, tmp_path: Path) -> None:
        file = tmp_path / "credentials"
        file.write_text("[default]\naws_access_key_id=a\naws_secret_access_key=hush\n")
        env = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
        ObjectUrl("s3://b/x").connect(env)
        with pytest.raises(BadUrl, match="has no profile mine"):
            ObjectUrl("s3://b/x").connect({**env, "AWS_PROFILE": "mine"})
        file.write_text("aws_secret_access_key=hush\n")
        with pytest.raises(BadUrl, match="cannot be read") as caught:
            ObjectUrl("s3://b/x").connect(env)
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ("endpoint=http://127.0.0.1:9", "http://127.0.0.1:9/bucket/p/"),
            ("endpoint=http://localhost:9&path_style=false", "http://bucket.localhost:9/p/"),
            ("region=eu-north-1", "https://bucket.s3.eu-north-1.amazonaws.com/p/"),
            ("region=eu-north-1&path_style=true", "https://s3.eu-north-1.amazonaws.com/bucket/p/"),
        ],
    )
    def test_where_requests_go(self, options: str, expected: str) -> None:
        env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        store = ObjectUrl(f"s3://bucket/p?{options}").connect(env)
        signed = obstore.sign(store, "GET", "x", timedelta(seconds=60))
        assert signed.startswith(f"{expected}x?"), signed

    @pytest.mark.parametrize(
        ("options", "unsigned"),
        [
            ("", True),
            ("endpoint=https://store.example", True),
            ("endpoint=http://127.0.0.1:9", True),
            ("endpoint=http://[::1]:9", True),
            ("endpoint=http://localhost:9&path_style=false", True),
            ("endpoint=http://store.example:9", False),
            ("endpoint=http://10.1.2.3:9", False),
            ("endpoint=http://store.example:9&unsigned_payload=true", True),
            ("unsigned_payload=false", False),
        ],
    )
    def test_bytes_are_signed_where_somebody_could_change_them_on_the_way(self, options: str, unsigned: bool) -> None:
        env = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        store = ObjectUrl(f"s3://bucket/p?{options}").connect(env)
        assert str(store.config["unsigned_payload"]).lower() == str(unsigned).lower()


AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": "us", "AZURE_STORAGE_ACCOUNT_KEY": "aHVzaA=="}


class TestCloudsOfOthers:
    @pytest.mark.parametrize(
        ("options", "env", "expected"),
        [
            ("", {}, "https://us.blob.core.windows.net/box/p/x?"),
            ("?endpoint=http://127.0.0.1:9/us/", {}, "http://127.0.0.1:9/us/box/p/x?"),
            ("", {"AZURE_STORAGE_ENDPOINT": "https://here/us"}, "https://here/us/box/p/x?"),
            (
                "?endpoint=https://there/us",
                {"AZURE_STORAGE_ENDPOINT": "https://here/us"},
                "https://there/us/box/p/x?",
            ),
        ],
    )
    def test_where_requests_to_azure_go(self, options: str, env: dict[str, str], expected: str) -> None:
        store = ObjectUrl(f"az://box/p{options}").connect({**AZURE, **env})
        signed = obstore.sign(store, "GET", "x", timedelta(seconds=60))
        assert signed.startswith(expected), signed

    def test_azure_is_asked_with_a_token_of_shared_access(self) -> None:
        env = {"AZURE_STORAGE_ACCOUNT_NAME": "us", "AZURE_STORAGE_SAS_TOKEN": "sv=2021&sig=hush"}
        store = ObjectUrl("az://box/p").connect(env)
        assert store.config == {"account_name": "us", "sas_key": "sv=2021&sig=hush", "container_name": "box"}

    def test_which_account(self) -> None:
        with pytest.raises(BadUrl, match=r"az://box/p: which account. set AZURE_STORAGE_ACCOUNT_NAME"):
            ObjectUrl("az://box/p").connect({})

    def test_a_key_that_is_none(self) -> None:
        with pytest.raises(BadUrl, match=r"az://box/p: .*Invalid Access Key") as caught:
            ObjectUrl("az://box/p").connect({**AZURE, "AZURE_STORAGE_ACCOUNT_KEY": "hush hush"})
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize("scheme", ["gs", "az"])
    def test_an_endpoint_without_a_scheme(self, scheme: str) -> None:
        with pytest.raises(BadUrl, match=r"endpoint=127\.0\.0\.1:9: expected http://HOST:PORT"):
            ObjectUrl(f"{scheme}://b/p?endpoint=127.0.0.1:9").connect(AZURE)

    def test_an_emulator_of_google_is_told_no_secrets(self, tmp_path: Path) -> None:
        env = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "missing.json")}
        for url, more in (
            ("gs://b/p?endpoint=http://127.0.0.1:9", {}),
            ("gs://b/p", {"GOOGLE_BASE_URL": "http://127.0.0.1:9"}),
        ):
            store = ObjectUrl(url).connect({**env, **more})
            assert '"disable_oauth": true' in str(store.config)
            assert '"gcs_base_url": "http://127.0.0.1:9"' in str(store.config)
        with pytest.raises(BadUrl, match=r"gs://b/p: .*missing\.json"):
            ObjectUrl("gs://b/p?endpoint=https://127.0.0.1:9").connect(env)

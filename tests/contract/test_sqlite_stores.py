"""The stores on SQLite keep the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from catalog_store import CatalogStoreContract
from cluster_store import ClusterStoreContract
from lease_store import LeaseStoreContract
from log_store import LogStoreContract
from maintenance_store import MaintenanceStoreContract
from recovery_store import RecoveryStoreContract
from share_store import ShareStoreContract
from support.stores import sqlite_opener
from topic_store import TopicStoreContract
from txn_store import TxnStoreContract


@pytest.fixture
def opener(tmp_path: Path) -> Any:
    return sqlite_opener(tmp_path)


class TestLogStore(LogStoreContract):
    pass


class TestMaintenanceStore(MaintenanceStoreContract):
    pass


class TestRecoveryStore(RecoveryStoreContract):
    pass


class TestTopicStore(TopicStoreContract):
    pass


class TestClusterStore(ClusterStoreContract):
    pass


class TestCatalogStore(CatalogStoreContract):
    pass


class TestLeaseStore(LeaseStoreContract):
    pass


class TestTxnStore(TxnStoreContract):
    pass


class TestShareStore(ShareStoreContract):
    pass

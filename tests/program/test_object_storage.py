"""Tables in object storage: S3 against a local moto server, and fsspec's file systems in memory and on disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import DataError
from thalweg.program.tables.object_storage import is_url, staged

fsspec = pytest.importorskip("fsspec")

PROGRAM = """
import thalweg as tw

@tw.flow
def grow(age: int) -> int:
    return age + 1
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An S3 client; the bucket `tables` exists and is empty."""
    boto3 = pytest.importorskip("boto3")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    pytest.importorskip("s3fs").S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="tables")
    for one in client.list_objects_v2(Bucket="tables").get("Contents", []):
        client.delete_object(Bucket="tables", Key=one["Key"])
    return client


def keys(client: Any) -> list[str]:
    return [one["Key"] for one in client.list_objects_v2(Bucket="tables").get("Contents", [])]


def run(folder: Path, *more: str) -> int:
    from thalweg.cli import main

    (folder / "grow.py").write_text(PROGRAM)
    with pytest.raises(SystemExit) as left:
        main(["run", str(folder / "grow.py"), "--store", str(folder / "store"), "--no-progress", *more])
    code = left.value.code
    return code if isinstance(code, int) else 0


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_goes_from_s3_to_s3_with_the_bytes_of_a_local_run(bucket: Any, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.csv").write_text("age\n31\nold\n5\n")
    bucket.put_object(Bucket="tables", Key="a/in.csv", Body=(tmp_path / "in.csv").read_bytes())
    assert run(tmp_path, "--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / f"here.{suffix}")) == 0
    assert run(tmp_path, "--input", "s3://tables/a/in.csv", "--output", f"s3://tables/b/out.{suffix}") == 0
    there = bucket.get_object(Bucket="tables", Key=f"b/out.{suffix}")["Body"].read()
    assert there == (tmp_path / f"here.{suffix}").read_bytes()
    assert sorted(keys(bucket)) == ["a/in.csv", f"b/out.{suffix}"]
    assert not list((tmp_path / "store" / "staged").rglob("*.*")), "the copies are gone"


def test_the_same_command_again_computes_nothing(
    bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put_object(Bucket="tables", Key="in.csv", Body=b"age\n31\n5\n")
    for _ in range(2):
        assert run(tmp_path, "--input", "s3://tables/in.csv", "--output", "s3://tables/out.csv") == 0
    assert "2 rows from an earlier run" in capsys.readouterr().out


def test_the_output_appears_whole_or_not_at_all(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Bucket="tables", Key="in.csv", Body=b"age\n31\nold\n")
    bucket.put_object(Bucket="tables", Key="out.csv", Body=b"before")
    assert run(tmp_path, "--input", "s3://tables/in.csv", "--output", "s3://tables/out.csv", "--fail-fast") == 1
    assert bucket.get_object(Bucket="tables", Key="out.csv")["Body"].read() == b"before"
    assert sorted(keys(bucket)) == ["in.csv", "out.csv"]


def test_a_missing_bucket_or_key_is_told_before_anything_runs(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Bucket="tables", Key="in.csv", Body=b"age\n31\n")
    with pytest.raises(DataError, match=r"s3://nowhere/out.csv cannot be written: there is no such bucket"):
        staged("s3://tables/in.csv", "s3://nowhere/out.csv", tmp_path)
    with pytest.raises(DataError, match=r"There is no table s3://tables/other.csv. Check the bucket and the key."):
        staged("s3://tables/other.csv", "s3://tables/out.csv", tmp_path)
    with pytest.raises(DataError, match="There is no table s3://nowhere/in.csv"):
        staged("s3://nowhere/in.csv", "s3://tables/out.csv", tmp_path)
    assert keys(bucket) == ["in.csv"]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = sys.modules["fsspec.registry"]._registry  # type: ignore[attr-defined]
    monkeypatch.delitem(known, "s3", raising=False)  # as in a new process
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match="needs s3fs, which is not installed. Install it: pip install s3fs"):
        staged("s3://tables/in.csv", str(tmp_path / "out.csv"), tmp_path)


def test_other_file_systems_work_alike(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/tables/in.csv", b"age\n1\n")
    for folder in ("memory://tables", f"file://{tmp_path}"):
        assert run(tmp_path, "--input", "memory://tables/in.csv", "--output", f"{folder}/out.csv") == 0
    assert memory.cat("/tables/out.csv") == (tmp_path / "out.csv").read_bytes() != b""
    assert memory.ls("/tables", detail=False) == ["/tables/in.csv", "/tables/out.csv"]
    assert not list(tmp_path.glob(".*.part"))


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its format is unknown"):
        staged("memory://in.csv", "memory://out.txt", tmp_path)
    with pytest.raises(DataError, match="is the input too"):
        staged("memory://in.csv", "memory://in.csv", tmp_path)
    with pytest.raises(DataError, match="there is no protocol 'nothing'"):
        staged("nothing://in.csv", str(tmp_path / "out.csv"), tmp_path)
    assert is_url("s3://bucket/key.csv") and not is_url("/a/b.csv") and not is_url("C:/a.csv")

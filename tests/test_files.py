"""Texts as people have them: packed, in folders, by patterns, from a pipe."""

import bz2
import gzip
import io
import lzma
import os
import sys
import tarfile
import threading
import zipfile

import pytest

from jrnn import text as jt
from jrnn.text import files as text_files
from jrnn.text.files import read_once

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLAIN = "hé\r\nthe second line\r\n".encode() * 9
READ = "hé\nthe second line\n" * 9
SKIPPED_FRAME = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"


def packed_long(data):
    """What `zstd --long=28` writes: unpacking it needs more than zstd's own limit."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    return packer.compress(data) + packer.flush()  # a length not known ahead


PACK = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd.compress,
    "zstd, checked": lambda data: zstd.compress(
        data, options={zstd.CompressionParameter.checksum_flag: 1}
    ),
    "zstd, of several threads": lambda data: SKIPPED_FRAME + zstd.compress(data),
    "zstd, long": lambda data: packed_long(data),
}
packed_by = pytest.mark.parametrize("pack", PACK.values(), ids=PACK)


def write(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# Packed files


@packed_by
@pytest.mark.parametrize("name", ["text.txt", "text", "wrong.gz"])
def test_packed_files_are_told_by_their_content(tmp_path, pack, name):
    path = write(tmp_path, name, pack(PLAIN))
    assert jt.read_files(path) == READ
    assert jt.read_files(path, "byte") == PLAIN


@packed_by
def test_parts_packed_one_by_one_are_one_text(tmp_path, pack):
    path = write(tmp_path, "text", pack(PLAIN[:40]) + pack(PLAIN[40:]))
    assert jt.read_files(path, "byte") == PLAIN


def test_a_name_says_nothing(tmp_path):
    assert jt.read_files(write(tmp_path, "plain.gz", PLAIN)) == READ
    # begins like bzip2 and is a text
    assert jt.read_files(write(tmp_path, "code", b"BZh9 is a code")) == "BZh9 is a code"


@packed_by
def test_packed_files_that_are_cut_off(tmp_path, pack):
    whole = pack(PLAIN)
    for size in range(14, len(whole)):
        path = write(tmp_path, "text.txt", whole[:size])
        with pytest.raises(ValueError, match=r"text\.txt is a damaged or cut off"):
            jt.read_files(path)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd, checked"])
def test_packed_files_with_a_flipped_bit(tmp_path, name):
    whole = PACK[name](PLAIN)
    for place in range(12, len(whole), 3):
        data = bytearray(whole)
        data[place] ^= 0x10
        path = write(tmp_path, "text.txt", bytes(data))
        try:  # some bits mean nothing, a date for instance
            assert jt.read_files(path, "byte") == PLAIN
        except ValueError as error:
            kind = name.partition(",")[0]
            assert f"text.txt is a damaged or cut off {kind} file: " in str(error)


def test_a_packed_nothing_is_empty(tmp_path):
    for name in ("gzip", "bzip2", "xz", "zstd"):
        with pytest.raises(ValueError, match="is empty"):
            jt.read_files(write(tmp_path, "text", PACK[name](b"")))


def test_what_unpacks_to_much_more_than_text_is_refused(tmp_path, monkeypatch):
    bomb = write(tmp_path, "bomb", gzip.compress(bytes(10 << 20)))
    assert bomb.stat().st_size < 11_000
    assert len(jt.read_files(bomb, "byte")) == 10 << 20  # no larger than 1 GiB
    monkeypatch.setattr(text_files, "_LARGE", 1 << 20)
    message = r"bomb has [\d,]+ bytes and unpacks to over [\d,]+, which text does not"
    with pytest.raises(ValueError, match=message):
        jt.read_files(bomb, "byte")
    # large, but not 200 times as large as packed
    data = os.urandom(3 << 20)
    large = write(tmp_path, "large", gzip.compress(data))
    assert jt.read_files(large, "byte") == data


def test_a_packed_file_in_a_packed_file_stays_packed(tmp_path):
    inner = gzip.compress(PLAIN)
    path = write(tmp_path, "text", lzma.compress(inner))
    assert jt.read_files(path, "byte") == inner


def test_archives_and_documents_are_named(tmp_path):
    write(tmp_path, "a.txt", PLAIN)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    with pytest.raises(ValueError, match=r"is a tar archive\.\nUnpack it and give the"):
        jt.read_files(tmp_path / "a.tar.gz")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="it looks like a zip archive"):
        jt.read_files(tmp_path / "a.zip")
    with pytest.raises(ValueError, match=r"\(it looks like a PDF\): byte 0xe2"):
        jt.read_files(write(tmp_path, "a", b"%PDF-1.7\n%\xe2\xe3"))


# Folders and patterns


@pytest.fixture
def library(tmp_path):
    """A folder with texts and with much else; its texts by name."""
    texts = {
        "a/z.txt": b"az",
        "b.txt": b"b",
        "b/Zed": b"bz",
        "b/c/d.md": b"bcd",
        "c.txt.gz": gzip.compress(b"c"),
        "c.txt.zst": zstd.compress(b"cc"),
    }
    others = {
        ".hidden": b"hidden",
        ".git/config": b"hidden",
        "a/.txt": b"hidden",
        "empty.txt": b"",
        "empty.gz": gzip.compress(b""),
        "image.png": b"\x89PNG\0\0",
        "image.gz": gzip.compress(b"\x89PNG\0\0"),
    }
    for name, data in {**texts, **others}.items():
        write(tmp_path / "library", name, data)
    (tmp_path / "library" / "nothing").mkdir()
    (tmp_path / "library" / "loop").symlink_to(tmp_path / "library")
    return tmp_path / "library"


def test_a_folder_is_every_text_file_in_it(library):
    files = jt.find_files(library)
    names = [file.relative_to(library).as_posix() for file in files]
    # by path, part for part: b.txt, then what is in b
    assert names == sorted(names, key=lambda name: name.split("/"))
    expected = ["a/z.txt", "b/Zed", "b/c/d.md", "b.txt", "c.txt.gz", "c.txt.zst"]
    assert names == expected
    assert jt.read_files(library) == "az\nbz\nbcd\nb\nc\ncc"
    assert jt.read_files([library / "b.txt", str(library / "a")], "byte") == b"b\naz"


def test_a_folder_in_another_encoding_is_not_passed_over(tmp_path):
    write(tmp_path, "a.txt", b"good")
    write(tmp_path, "b.txt", "hé".encode("utf-16"))  # has zeros
    with pytest.raises(ValueError, match=r"b\.txt is not UTF-8 .*looks like UTF-16"):
        jt.read_files(tmp_path)
    write(tmp_path, "b.txt", "hé".encode("latin-1"))
    with pytest.raises(ValueError, match=r"b\.txt is not UTF-8 text: byte 0xe9"):
        jt.read_files(tmp_path)
    write(tmp_path, "b.txt", gzip.compress(b"cut off" * 99)[:30])
    with pytest.raises(ValueError, match=r"b\.txt is a damaged or cut off gzip file"):
        jt.read_files(tmp_path)


def test_a_folder_without_text(tmp_path):
    write(tmp_path, "image.png", b"\x89PNG\0\0")
    with pytest.raises(ValueError, match=r"has no text file in it\.\nName other files"):
        jt.find_files(tmp_path)
    assert jt.read_files(tmp_path / "*", "byte") == b"\x89PNG\0\0"


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def walk(folder, onerror):
        onerror(PermissionError(13, "Permission denied", str(folder)))
        return iter(())

    monkeypatch.setattr(os, "walk", walk)  # who is root may read all
    with pytest.raises(PermissionError, match="cannot be read: Permission denied"):
        jt.find_files(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.txt", ["b.txt", "empty.txt"]),
        ("?.txt", ["b.txt"]),
        ("[bc].txt*", ["b.txt", "c.txt.gz", "c.txt.zst"]),
        ("**/*.txt", ["a/z.txt", "b.txt", "empty.txt"]),
        ("b*", ["b/Zed", "b/c/d.md", "b.txt"]),  # b is a folder
        ("b/**", ["b/Zed", "b/c/d.md"]),
    ],
)
def test_patterns(library, monkeypatch, pattern, names):
    monkeypatch.chdir(library)
    assert [file.as_posix() for file in jt.find_files(pattern)] == names
    files = jt.find_files(str(library / pattern))
    assert files == [library / name for name in names]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    write(tmp_path, "a1.txt", b"one")
    odd = write(tmp_path, "a[1].txt", b"odd")
    assert jt.read_files(odd) == "odd"
    odd.unlink()
    assert jt.read_files(odd) == "one"
    with pytest.raises(FileNotFoundError, match=r"b\*\.txt: no file matches this pat"):
        jt.read_files(tmp_path / "b*.txt")


# What can be read once


class Input:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def test_standard_input(tmp_path, monkeypatch):
    book = write(tmp_path, "book.txt", b"book")
    for data in (PLAIN, *(pack(PLAIN) for pack in PACK.values())):
        monkeypatch.setattr(sys, "stdin", Input(data))
        assert jt.read_files(["-", book]) == f"{READ}\nbook"
    with pytest.raises(ValueError, match=r"^standard input is empty"):
        jt.read_files("-")  # it has been read
    monkeypatch.setattr(sys, "stdin", Input(b"caf\xe9"))
    with pytest.raises(ValueError, match="standard input is not UTF-8 text: byte 0xe9"):
        jt.read_files("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ValueError, match="standard input is closed"):
        jt.read_files("-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert (
        read_once(pipe) and not read_once(tmp_path) and not read_once(tmp_path / "no")
    )
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(PLAIN),))
    writer.start()
    assert jt.read_files(pipe) == READ
    writer.join()

"""What is in a file, as bytes or lines; in plain words, why it cannot be read."""

from pathlib import Path

from jrnn.text.files import STANDARD_INPUT, find_files, name_of, read_files

_ALIKE = (
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"PK\x03\x04", "a zip archive, or a document in one such as .xlsx or .ods"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "an array of NumPy, .npy"),
)


def bytes_of(path: str | Path) -> tuple[str, bytes]:
    """The name of a file, as messages call it, and its bytes, unpacked."""
    path = Path(path)
    if path != STANDARD_INPUT and path.is_dir():
        raise ValueError(f"{path} is a folder.\nGive a file in it.")
    files = find_files(path)
    if len(files) > 1:
        raise ValueError(f"{path} stands for {len(files)} files.\nGive one of them.")
    content = read_files(files, level="byte")
    assert isinstance(content, bytes)  # at this level
    return name_of(files[0]), content


def lines_of(path: str | Path) -> tuple[str, list[str]]:
    """The name of a file of text, and its lines without their ends."""
    name, content = bytes_of(path)
    refuse_binary(name, content, "text")
    text = text_of(name, content)
    return name, text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def text_of(name: str, content: bytes) -> str:
    """The text of bytes in UTF-8, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name} is not UTF-8 text: byte 0x{content[error.start]:02x} at offset "
            f"{error.start} (line {line}).\nSave it as UTF-8."
        ) from None


def refuse_binary(name: str, content: bytes, wanted: str) -> None:
    """Raise where bytes are no text: by git's rule, a zero among the first 8000."""
    looks = next((what for head, what in _ALIKE if content.startswith(head)), None)
    if looks is not None or 0 in content[:8000]:
        seems = f"it looks like {looks}" if looks else "it has bytes of no text"
        raise ValueError(f"{name} is no {wanted}: {seems}.\nSave it as UTF-8 text.")

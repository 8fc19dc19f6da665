"""Pictures as small JPEG files, each named by what it shows, so that each is stored once."""

import hashlib
import importlib
import io
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.runs.files import StoreError, remove_strays, write_whole

ImageMode = Literal["thumbnails", "reference", "none"]

LONGEST_SIDE = 512
"""The longest side of a thumbnail, in pixels."""

_QUALITY = 85
_NAME = re.compile(r"[0-9a-f]{32}\.jpg", re.ASCII)
_JPEG = b"\xff\xd8\xff"
_REFERENCE = "path:"


@dataclass(frozen=True)
class Thumbnail:
    """A picture made small.

    Args:
        name: 32 hexadecimal digits of the SHA-256 of the picture's size and pixels, and ``.jpg``.
        size: Width and height of the picture, not of the thumbnail.
        data: The JPEG file.
    """

    name: str
    size: tuple[int, int]
    data: bytes


def thumbnail(image: Any) -> Thumbnail:
    """A picture as a JPEG file whose longest side is at most 512 pixels.

    Args:
        image: A PIL image, the path of a picture, or an array or tensor of shape (H, W, 3) of bytes
            or of floats in [0, 1].

    Raises:
        InputError: It is none of these, or cannot be read.
    """
    # Pillow is needed for pictures only: the command line and the report start without it.
    pil = importlib.import_module("PIL.Image")
    try:
        picture = _picture(pil, image)
        pixels = hashlib.sha256(b"%dx%d" % picture.size + picture.tobytes())
    except InputError:
        raise
    except Exception as error:
        # Pillow's readers raise whatever a broken file makes them raise.
        raise InputError(f"Expected a picture, but {_named(image)} gave: {error}") from error
    size = picture.size
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), pil.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return Thumbnail(f"{pixels.hexdigest()[:32]}.jpg", size, file.getvalue())


def _picture(pil: Any, image: Any) -> Any:
    """The picture as a PIL image of red, green and blue."""
    if isinstance(image, (str, os.PathLike)):
        with pil.open(image) as opened:
            return opened.convert("RGB")
    if hasattr(image, "convert"):
        return image.convert("RGB")
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise InputError(
            f"Expected a picture as an array of shape (H, W, 3), but got shape {array.shape}"
        )
    if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise InputError(
            "Expected a picture as an array of bytes, or of floats in [0, 1], but got "
            f"{array.dtype} from {array.min()} to {array.max()}"
        )
    return pil.fromarray(array)


def _named(image: Any) -> str:
    return repr(os.fspath(image)) if isinstance(image, (str, os.PathLike)) else str(type(image))


def is_chosen(sample_id: str, max_images: int, num_samples: int | None) -> bool:
    """Whether a sample is among about `max_images` that a hash of the ids picks, on every rank.

    So a rank need not keep, nor send, pictures that are not stored.

    Args:
        sample_id: Its id.
        max_images: How many pictures are wanted.
        num_samples: How many samples there are; None where nobody knows, and all are chosen.

    Example:
        >>> [is_chosen(str(i), 2, 8) for i in range(8)].count(True)
        2
    """
    if num_samples is None or max_images >= num_samples:
        return True
    digest = hashlib.blake2b(sample_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * num_samples < max_images * 2**64


class ImageFolder:
    """The thumbnails of a run.

    Args:
        folder: Where they lie.
        mode: ``thumbnails``; ``reference``, only the path of each picture that has one; ``none``.
        max_images: How many thumbnails there may be; further pictures are referred to.

    Raises:
        ConfigurationError: An option cannot work.
    """

    def __init__(self, folder: Path, mode: ImageMode = "thumbnails", max_images: int = 500) -> None:
        if mode not in get_args(ImageMode):
            raise ConfigurationError(
                f"Expected `images` to be one of {', '.join(get_args(ImageMode))}, but got {mode!r}"
            )
        if isinstance(max_images, bool) or not isinstance(max_images, int) or max_images < 0:
            raise ConfigurationError(
                f"Expected `max_images` to be a whole number of at least 0, but got {max_images!r}"
            )
        self.folder, self.mode, self.max_images = folder, mode, max_images
        self._names: set[str] = set()
        self._unwritten: dict[str, bytes] = {}

    def open(self) -> None:
        """Look at what is there, and remove what a killed process left."""
        remove_strays(self.folder)
        self._names = {path.name for path in self.folder.glob("*.jpg")}

    def put(self, image: Any) -> dict[str, Any]:
        """Take a picture to be written, and return the fields of its sample, `image` and `size`.

        Args:
            image: What `thumbnail` takes, or a `Thumbnail`; None for no picture.

        Raises:
            InputError: It cannot be read.
        """
        if image is None or self.mode == "none":
            return {}
        room = len(self._names) < self.max_images
        if isinstance(image, Thumbnail):
            room = room or image.name in self._names
        if self.mode == "thumbnails" and room:
            made = image if isinstance(image, Thumbnail) else thumbnail(image)
            if made.name not in self._names:
                self._unwritten[made.name] = made.data
                self._names.add(made.name)
            return {"image": made.name, "size": list(made.size)}
        path = image if isinstance(image, (str, os.PathLike)) else getattr(image, "filename", "")
        fields: dict[str, Any] = {"image": f"{_REFERENCE}{os.fspath(path)}"} if path else {}
        if hasattr(image, "convert") or isinstance(image, Thumbnail):
            fields["size"] = list(image.size)
        return fields

    def write(self) -> dict[str, OSError]:
        """Write the pictures that were put; those that cannot be written now, with the reason.

        They are tried again the next time.
        """
        failed: dict[str, OSError] = {}
        for name, data in list(self._unwritten.items()):
            try:
                write_whole(self.folder / name, data)
            except OSError as error:
                failed[name] = error
            else:
                del self._unwritten[name]
        return failed


def read_thumbnail(folder: Path, name: str) -> bytes:
    """The JPEG file of a stored picture.

    Args:
        folder: Where the thumbnails lie.
        name: What a sample calls its `image`.

    Raises:
        StoreError: The name is not one that the store gives, or there is no such JPEG file. Links
            are not followed: a run may come from elsewhere.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{folder}: expected the name of a thumbnail, 32 hexadecimal digits and '.jpg', "
            f"but got {name!r}"
        )
    path = folder / name
    try:
        kinds = [path.lstat().st_mode, folder.lstat().st_mode]
        data = path.read_bytes() if stat.S_ISREG(kinds[0]) and stat.S_ISDIR(kinds[1]) else b""
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    if not data.startswith(_JPEG):
        raise StoreError(f"{path}: expected a JPEG file, but it is none")
    return data

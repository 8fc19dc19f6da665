"""Thumbnails: once by content, small, never more than asked for; names from elsewhere refused."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_vlmeval.errors import ConfigurationError, InputError
from lightning_vlmeval.runs.files import StoreError
from lightning_vlmeval.runs.images import Thumbnail, is_chosen, thumbnail
from lightning_vlmeval.runs.run import Run
from lightning_vlmeval.runs.store import RunStore


def picture(seed: int, width: int = 40, height: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def written(folder: Path, pictures: list[Any], **kwargs: Any) -> list[dict[str, Any]]:
    store = RunStore(folder, {"scorers": {}, "columns": {}, "tasks": [], "model": {}}, **kwargs)
    store.write({"index": 0}, [{"id": f"{i:03d}", "image": one} for i, one in enumerate(pictures)])
    return Run(folder).samples()


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "images").glob("*"))


def test_a_picture_is_made_small(tmp_path: Path) -> None:
    image = Image.fromarray(picture(0, 1600, 400))
    (sample,) = written(tmp_path, [image])
    assert sample["size"] == [1600, 400]
    assert stored(tmp_path) == [sample["image"]]
    assert re.fullmatch(r"[0-9a-f]{32}\.jpg", sample["image"])
    small = Image.open(io.BytesIO(Run(tmp_path).image(sample["image"])))
    assert (small.format, small.size) == ("JPEG", (512, 128))


def test_a_small_picture_is_not_made_larger() -> None:
    small = Image.open(io.BytesIO(thumbnail(picture(0)).data))
    assert small.size == (40, 30)


def test_equal_pictures_of_all_kinds_are_stored_once(tmp_path: Path) -> None:
    array = picture(1)
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    same = [
        array,
        torch.from_numpy(array),
        array / 255,
        Image.fromarray(array),
        path,
        str(path),
        thumbnail(array),
    ]
    samples = written(tmp_path / "run", same)
    assert len({sample["image"] for sample in samples}) == 1
    assert {tuple(sample["size"]) for sample in samples} == {(40, 30)}
    assert len(stored(tmp_path / "run")) == 1
    assert thumbnail(picture(2)).name != thumbnail(array).name
    turned = array.reshape(40, 30, 3)  # the same bytes in another shape
    assert thumbnail(turned).name != thumbnail(array).name


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "F"])
def test_other_kinds_of_pictures(mode: str) -> None:
    made = thumbnail(Image.new(mode, (8, 6)))
    assert Image.open(io.BytesIO(made.data)).mode == "RGB"
    assert made.size == (8, 6)


def test_references_and_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture(1)).save(path)
    with Image.open(path) as opened:
        opened.load()
    images = [path, opened, Image.fromarray(picture(1)), picture(1), None]
    reference = f"path:{path}"
    samples = written(tmp_path / "reference", images, images="reference")
    assert [s.get("image") for s in samples] == [reference, reference, None, None, None]
    assert [s.get("size") for s in samples] == [None, [40, 30], [40, 30], None, None]
    samples = written(tmp_path / "none", images, images="none")
    assert not any("image" in sample for sample in samples)
    assert stored(tmp_path / "reference") == stored(tmp_path / "none") == []


def test_no_more_pictures_than_asked_for(tmp_path: Path) -> None:
    paths = []
    for seed in range(4):
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(picture(seed)).save(paths[-1])
    already = thumbnail(paths[0])
    samples = written(tmp_path / "run", [*paths, already], max_images=2)
    assert len(stored(tmp_path / "run")) == 2
    assert [s["image"] for s in samples[2:4]] == [f"path:{paths[2]}", f"path:{paths[3]}"]
    assert samples[4]["image"] == samples[0]["image"]
    # A resumed run counts those that are there.
    store = RunStore(tmp_path / "run", Run(tmp_path / "run").record, max_images=2)
    store.write({"index": 1}, [{"id": "new", "image": picture(9)}])
    assert "image" not in Run(tmp_path / "run").samples(1)[0]
    assert len(stored(tmp_path / "run")) == 2


def test_a_size_that_the_sample_gives_is_kept_without_a_picture(tmp_path: Path) -> None:
    store = RunStore(tmp_path, {"scorers": {}, "columns": {}, "tasks": [], "model": {}})
    store.write({"index": 0}, [{"id": "a", "size": (640, 480)}])
    assert Run(tmp_path).samples()[0]["size"] == [640, 480]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 4, 4)), "array of shape (H, W, 3), but got shape (3, 4, 4)"),
        (np.zeros((0, 4, 3)), "but got shape (0, 4, 3)"),
        (np.full((2, 2, 3), 7.5), "or of floats in [0, 1], but got float64 from 7.5 to 7.5"),
        (np.full((2, 2, 3), 300), "or of floats in [0, 1], but got int64 from 300 to 300"),
        (np.full((2, 2, 3), np.nan), "but got float64 from nan to nan"),
        ("nowhere.png", "Expected a picture, but 'nowhere.png' gave: [Errno 2] No such file"),
        (object(), "array of shape (H, W, 3), but got shape ()"),
    ],
)
def test_what_is_no_picture(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        thumbnail(image)


def test_a_picture_that_cannot_be_read_does_not_stop_the_run(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    whole = io.BytesIO()
    Image.fromarray(picture(1)).save(whole, "PNG")
    broken.write_bytes(whole.getvalue()[:200])
    message = r"2 pictures could not be stored. The first: sample '000': Expected a picture, but .*"
    with pytest.warns(UserWarning, match=message + re.escape(str(broken))):
        samples = written(tmp_path / "run", [broken, np.zeros((1, 2)), picture(3)])
    assert ["image" in sample for sample in samples] == [False, False, True]


@pytest.mark.parametrize("mode", ["all", "", None])
def test_a_mode_that_is_none(tmp_path: Path, mode: Any) -> None:
    message = f"Expected `images` to be one of thumbnails, reference, none, but got {mode!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        RunStore(tmp_path, {}, images=mode)


@pytest.mark.parametrize("count", [-1, 1.5, True])
def test_a_number_of_pictures_that_cannot_be(tmp_path: Path, count: Any) -> None:
    message = f"Expected `max_images` to be a whole number of at least 0, but got {count!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        RunStore(tmp_path, {}, max_images=count)


def test_which_samples_keep_their_picture() -> None:
    names = [f"scene-{i}" for i in range(10_000)]
    chosen = [name for name in names if is_chosen(name, 500, len(names))]
    assert 420 < len(chosen) < 580
    assert chosen == [name for name in names if is_chosen(name, 500, len(names))]
    assert all(is_chosen(name, 500, None) and is_chosen(name, 10_000, 10_000) for name in names)
    assert not any(is_chosen(name, 0, 10) for name in names)
    assert is_chosen("\ud800", 1, 1)


# ------------------------------------------------------------- runs that come from elsewhere

GOOD = "0123456789abcdef" * 2 + ".jpg"


@pytest.mark.parametrize(
    "name",
    [
        "../run.json",
        "../images/" + GOOD,
        "/etc/passwd",
        "path:/etc/passwd",
        GOOD.upper(),
        GOOD + "\n",
        GOOD[1:],
        GOOD.replace(".jpg", ".svg"),
        "\u0663" * 32 + ".jpg",
        "",
        ".." + GOOD[2:],
    ],
)
def test_names_that_the_store_does_not_give(tmp_path: Path, name: str) -> None:
    written(tmp_path, [picture(1)])
    message = (
        f"expected the name of a thumbnail, 32 hexadecimal digits and '.jpg', but got {name!r}"
    )
    with pytest.raises(StoreError, match=re.escape(message)):
        Run(tmp_path).image(name)


def test_links_are_not_followed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run") if written(tmp_path / "run", [picture(1)]) else None
    assert run is not None
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(thumbnail(picture(5)).data)
    (run.path / "images" / GOOD).symlink_to(outside)
    with pytest.raises(StoreError, match=r"0123.*\.jpg: expected a JPEG file, but it is none"):
        run.image(GOOD)
    folder = run.path / "images"
    name = stored(run.path)[-1]
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert (folder / name).exists()
    with pytest.raises(StoreError, match="expected a JPEG file, but it is none"):
        run.image(name)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    written(tmp_path, [picture(1)])
    (tmp_path / "images" / GOOD).write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(StoreError, match="expected a JPEG file, but it is none"):
        Run(tmp_path).image(GOOD)
    (tmp_path / "images" / GOOD).unlink()
    with pytest.raises(StoreError, match=r"\.jpg: cannot be read: No such file"):
        Run(tmp_path).image(GOOD)


def test_a_thumbnail_that_came_from_another_rank(tmp_path: Path) -> None:
    made = thumbnail(picture(1))
    (sample,) = written(tmp_path, [Thumbnail(made.name, made.size, made.data)])
    assert Run(tmp_path).image(sample["image"]) == made.data

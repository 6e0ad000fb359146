from __future__ import annotations

import pytest

from bytemlperf.datasets.imagenet_files import Layout, find_files
from bytemlperf.errors import DatasetError, DatasetUnavailableError


def fill(folder, *names):
    """Make files that nobody decodes here; each has as many bytes as its name has letters."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def found(folder, *, layout=Layout.AUTO, synsets=None, classes=None):
    files = find_files(folder, layout=layout, synsets=synsets, classes=classes)
    return [(file.name, file.label) for file in files]


@pytest.fixture(name="classes")
def _classes(tmp_path):
    fill(tmp_path, "n02/b.JPEG", "n02/a.JPEG", "n01/x.jpg", "n01/z.PNG", "n01/y.jpeg", "n03/only.png")
    return tmp_path


def test_sorted_class_folders_are_the_labels_and_take_turns(classes):
    assert found(classes) == [
        ("n01/x.jpg", 0),
        ("n02/a.JPEG", 1),
        ("n03/only.png", 2),
        ("n01/y.jpeg", 0),
        ("n02/b.JPEG", 1),
        ("n01/z.PNG", 0),
    ]


def test_what_is_no_image_or_no_class_is_left_out(classes):
    before = found(classes)
    fill(classes, "n01/notes.txt", ".cache/a.jpg", "readme.jpg")
    assert found(classes) == before


def test_sizes_are_those_of_the_files(classes):
    files = find_files(classes, layout=Layout.FOLDERS, synsets=None, classes=None)
    assert [file.size_bytes for file in files] == [len(file.name) for file in files]


def test_a_class_without_images_still_has_its_label(classes):
    (classes / "n00").mkdir()
    assert ("n01/x.jpg", 1) in found(classes, classes=4)


@pytest.mark.parametrize("count", [2, 4, 1000])
def test_folders_that_are_not_all_the_classes_do_not_tell_labels(classes, count):
    with pytest.raises(DatasetError, match=f"got '3 folders'; expected one for each of the model's {count}") as caught:
        found(classes, classes=count)
    assert "synsets" in caught.value.remedy


def test_a_list_of_synsets_gives_the_labels_of_some_folders(classes):
    (classes / "synsets.txt").write_text("n03 pelican\nn09 owl\nn01\nn02 gull, sea bird\n\n", encoding="utf-8")
    labels = dict(found(classes, synsets=classes / "synsets.txt", classes=4))
    assert labels["n03/only.png"] == 0
    assert labels["n01/x.jpg"] == 2
    assert labels["n02/a.JPEG"] == 3


def test_a_folder_that_no_synset_names_is_refused(classes):
    (classes / "synsets.txt").write_text("n01\nn03\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"1 class folders are not in synsets\.txt .*got 'n02'"):
        found(classes, synsets=classes / "synsets.txt")


def test_a_synset_beyond_the_models_classes_is_refused(classes):
    (classes / "synsets.txt").write_text("n01\nn02\nn03\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="got 3; expected at most 2"):
        found(classes, synsets=classes / "synsets.txt", classes=2)


def test_missing_synsets_are_named(classes):
    with pytest.raises(DatasetUnavailableError, match=r"a file is missing \(at .*none\.txt\)"):
        found(classes, synsets=classes / "none.txt")


def test_a_list_gives_labels_in_its_own_order(tmp_path):
    fill(tmp_path, "val/b.JPEG", "val/a.JPEG", "with space.jpg")
    text = "val/b.JPEG 65\nwith space.jpg 0\n\tval/a.JPEG\t970 \n\n"
    (tmp_path / "val_map.txt").write_text(text, encoding="utf-8")
    expected = [("val/b.JPEG", 65), ("with space.jpg", 0), ("val/a.JPEG", 970)]
    assert found(tmp_path, classes=1000) == expected
    assert found(tmp_path, layout=Layout.VAL_MAP) == expected


def test_a_list_wins_over_class_folders_unless_asked_otherwise(classes):
    (classes / "val_map.txt").write_text("n03/only.png 7\n", encoding="utf-8")
    assert found(classes) == [("n03/only.png", 7)]
    assert len(found(classes, layout=Layout.FOLDERS)) == 6


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg",
        "a.jpg x",
        "a.jpg -1",
        "a.jpg 1.0",
        "a.jpg ²",
        "7",
        "../a.jpg 1",
        "/etc/a.jpg 1",
        "b/../../a.jpg 1",
        "a.jpg 10",
        "b.jpg 1",
        "",
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line):
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "val_map.txt").write_text(f"b.jpg 0\n{line}\nc.jpg 1\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"a line cannot be used \(at .*val_map\.txt:2\)") as caught:
        found(tmp_path, classes=10)
    assert caught.value.got == line


def test_images_of_a_list_that_are_missing_are_counted(tmp_path):
    fill(tmp_path, "a.jpg")
    (tmp_path / "val_map.txt").write_text("a.jpg 0\nb.jpg 0\nc.jpg 1\n", encoding="utf-8")
    with pytest.raises(DatasetUnavailableError, match=r"2 of 3 images in val_map\.txt are missing.*got 'b\.jpg'"):
        found(tmp_path)


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "val_map.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="no UTF-8 text"):
        found(tmp_path)


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\v", "\x1c"])
def test_a_line_ends_at_a_newline_alone(tmp_path, separator):
    name = f"a{separator}b.jpg"
    fill(tmp_path, name, "c.jpg")
    (tmp_path / "val_map.txt").write_bytes(f"{name} 3\r\nc.jpg 1\r\n".encode())
    assert found(tmp_path) == [(name, 3), ("c.jpg", 1)]


@pytest.mark.parametrize(
    ("make", "layout", "problem"),
    [
        (lambda folder: folder.rmdir(), Layout.AUTO, "the data set's folder is missing"),
        (lambda folder: None, Layout.AUTO, "the folder has no class folders"),
        (lambda folder: None, Layout.VAL_MAP, "a file is missing"),
        (lambda folder: (folder / "n01").mkdir(), Layout.AUTO, "has no image"),
        (lambda folder: (folder / "val_map.txt").touch(), Layout.AUTO, "has no image"),
    ],
)
def test_a_folder_that_has_nothing_is_told_which_layout_is_expected(tmp_path, make, layout, problem):
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder)
    with pytest.raises(DatasetUnavailableError, match=problem) as caught:
        found(folder, layout=layout)
    assert "val_map.txt" in caught.value.expected
    assert "n01440764" in caught.value.expected
    assert str(folder) in caught.value.where

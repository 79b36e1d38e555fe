"""Files and folders appear whole or not at all."""

import pytest

from dni_jax.files import atomic_write


def write_half_of(path, error):
    with atomic_write(path) as aside:
        aside.write_text("half")
        raise error


def test_nothing_is_left_when_writing_fails(tmp_path):
    with pytest.raises(OSError, match="disk full"):
        write_half_of(tmp_path / "a.txt", OSError("disk full"))
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_stays_when_writing_fails(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="disk full"):
        write_half_of(tmp_path / "a.txt", OSError("disk full"))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_replaces_a_folder(tmp_path):
    def write(content, **options):
        with atomic_write(tmp_path / "run", **options) as aside:
            aside.mkdir()
            (aside / content).write_text(content)

    write("first")
    with pytest.raises(ValueError, match="'first', which would be lost"):
        write("second")
    write("second", replaces=["first"])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_block_counts_as_failed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_half_of(tmp_path / "a.txt", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []

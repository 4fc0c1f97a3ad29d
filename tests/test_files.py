"""Files are whole or absent."""

import pytest

from hero_rl.files import replacing, write_text


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "out.txt"
    with replacing(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = write_text(tmp_path / "out.txt", "old")

    def break_off():
        with replacing(path) as partial:
            partial.write_text("ne")
            raise error

    with pytest.raises(error):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf_8_whatever_the_locale(tmp_path):
    assert write_text(tmp_path / "out.txt", "σ̄\n").read_bytes() == "σ̄\n".encode()

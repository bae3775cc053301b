"""The file that takes a program's output."""

from app.output_file import OutputFile


def test_a_full_file_becomes_the_old_one_and_no_third_is_kept(tmp_path):
    path = tmp_path / "one.out"
    with OutputFile(path, limit=10) as out:
        for chunk in (b"first\n", b"second\n", b"third\n"):
            out.write(chunk)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "one.out": "third\n",
        "one.out.1": "second\n",
    }


def test_what_is_there_counts_and_is_continued(tmp_path):
    path = tmp_path / "one.out"
    path.write_text("before\n")
    with OutputFile(path, limit=12) as out:
        out.write(b"on\n")
        assert path.read_text() == "before\non\n"
        out.write(b"later\n")
    assert path.read_text() == "later\n"


def test_a_chunk_above_the_limit_is_cut(tmp_path):
    with OutputFile(tmp_path / "one.out", limit=4) as out:
        out.write(b"123456")
    assert (tmp_path / "one.out").read_text() == "3456"


def test_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "one.out"
    path.write_text("x")
    path.chmod(0o644)
    with OutputFile(path, limit=1) as out:
        out.write(b"y")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}

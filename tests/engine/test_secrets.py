import base64

import pytest

from data.errors import ConfigError
from engine.errors import SecretUnreadable
from engine.secrets import SecretBox


def test_a_key_is_made_once_and_another_key_opens_nothing(home, tmp_path):
    sealed = SecretBox(home).seal({"a": "b"})
    assert SecretBox(home).open(sealed) == {"a": "b"}
    with pytest.raises(SecretUnreadable):
        SecretBox(tmp_path).open(sealed)
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_configured_is_kept_nowhere_and_the_homes_own_still_opens_what_it_sealed(tmp_path):
    key = base64.b64encode(bytes(range(200, 232))).decode()
    sealed = SecretBox(tmp_path / "new", key).seal({"a": "b"})
    assert list(tmp_path.iterdir()) == []
    assert SecretBox(tmp_path / "elsewhere", key).open(sealed) == {"a": "b"}
    before = SecretBox(tmp_path).seal({"a": "before"})
    assert SecretBox(tmp_path, key).open(before) == {"a": "before"}
    with pytest.raises(SecretUnreadable):
        SecretBox(tmp_path).open(SecretBox(tmp_path, key).seal({"a": "b"}))
    with pytest.raises(ConfigError, match=r"worker\.secret_key: must be 32 bytes in base64"):
        SecretBox(tmp_path, "short")

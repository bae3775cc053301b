"""The configuration: three sources, one order, and every fault at once."""

from decimal import Decimal
from pathlib import Path

import pytest

from data.errors import ConfigError
from data.model import Protocol
from data.settings import load, secret
from data.settings_checks import SECRETS


def write(folder: Path, text: str) -> Path:
    path = folder / "proxy.toml"
    path.write_text(text)
    return path


def test_without_anything_both_providers_are_there_and_callers_bring_their_own_keys():
    config = load({})
    assert {name: p.api_key for name, p in config.providers.items()} == {"anthropic": "", "openai": ""}
    assert (config.proxy.host, config.proxy.port) == ("127.0.0.1", 8082)


def test_gemini_is_there_as_soon_as_a_variable_sets_anything_of_it(tmp_path):
    with_key = load({"CLAUDE_PROXY_PROVIDERS_GEMINI_API_KEY": "env:GEMINI_API_KEY", "GEMINI_API_KEY": "AIza-sesame"})
    assert {name: p.api_key for name, p in with_key.providers.items()} == {
        "anthropic": "",
        "openai": "",
        "gemini": "AIza-sesame",
    }
    gemini = with_key.providers["gemini"]
    assert (gemini.protocol, gemini.base_url) == (Protocol.GEMINI, "https://generativelanguage.googleapis.com")
    path = tmp_path / "key"
    path.write_text("AIza-file\n")
    assert load({"CLAUDE_PROXY_PROVIDERS_GEMINI_API_KEY_FILE": str(path)}).providers["gemini"].api_key == "AIza-file"
    elsewhere = load({"CLAUDE_PROXY_PROVIDERS_GEMINI_BASE_URL": "http://127.0.0.1:9/"}).providers["gemini"]
    assert (elsewhere.base_url, elsewhere.api_key) == ("http://127.0.0.1:9", "")


def test_a_file_that_names_providers_names_them_all(tmp_path):
    path = write(tmp_path, '[providers.a]\nprotocol = "anthropic"\nbase_url = "http://x"')
    with pytest.raises(ConfigError, match="CLAUDE_PROXY_PROVIDERS_GEMINI_API_KEY: no such setting"):
        load({"CLAUDE_PROXY_PROVIDERS_GEMINI_API_KEY": "x"}, config_file=path)
    with pytest.raises(ConfigError, match="no such setting; did you mean CLAUDE_PROXY_PROVIDERS_GEMINI_API_KEY"):
        load({"CLAUDE_PROXY_PROVIDERS_GEMINI_APIKEY": "x"})


@pytest.mark.parametrize("place", SECRETS, ids=".".join)
def test_every_secret_is_read_from_where_it_is_and_shown_nowhere(tmp_path, place):
    section, setting = place
    path = write(tmp_path, f'[{section}]\n{setting} = "env:HIDDEN"\n')
    by_file = load({"HIDDEN": "x-key=sesame"}, config_file=path)
    by_variable = load({f"CLAUDE_PROXY_{section}_{setting}".upper(): "x-key=sesame"})
    for config in (by_file, by_variable):
        assert getattr(getattr(config, section), setting) == "x-key=sesame"
        assert "sesame" not in repr(config)


def test_flags_win_over_environment_and_environment_over_the_file(tmp_path):
    path = write(tmp_path, "[proxy]\nport = 1\n[worker]\nport = 2\n[ui]\nport = 3\n")
    environ = {"CLAUDE_PROXY_WORKER_PORT": "20", "CLAUDE_PROXY_UI_PORT": "30"}
    config = load(environ, config_file=path, overrides={"ui.port": 300})
    assert (config.proxy.port, config.worker.port, config.ui.port) == (1, 20, 300)


def test_the_documented_file_is_understood(tmp_path):
    path = write(
        tmp_path,
        """
        [providers.anthropic]
        protocol = "anthropic"
        base_url = "https://api.anthropic.com/"
        api_key  = "env:ANTHROPIC_API_KEY"
        [[routes]]
        model = "claude-*"
        provider = "anthropic"
        [[prices]]
        model = "house-*"
        input = 1.5
        output = "3"
        """,
    )
    config = load({"ANTHROPIC_API_KEY": "sk-x"}, config_file=path)
    provider = config.providers["anthropic"]
    assert (provider.name, provider.base_url, provider.api_key) == ("anthropic", "https://api.anthropic.com", "sk-x")
    assert config.prices[0].input == Decimal("1.5")


def test_all_faults_are_reported_at_once_in_plain_words(tmp_path):
    path = write(
        tmp_path,
        """
        [proxy]
        port = "abc"
        prot = 3
        [providers.x]
        protocol = "foo"
        base_url = "ftp://x"
        [[routes]]
        model = "*"
        """,
    )
    with pytest.raises(ConfigError) as caught:
        load({"CLAUDE_PROXY_PROX_PORT": "1"}, config_file=path)
    faults = str(caught.value).splitlines()
    assert [fault.split(":")[0] for fault in faults] == [
        "CLAUDE_PROXY_PROX_PORT",
        str(path),
        "proxy.port",
        "proxy.prot",
        "providers.x.protocol",
        "providers.x.base_url",
        "routes.0.provider",
    ]
    assert "did you mean CLAUDE_PROXY_PROXY_PORT?" in faults[0]
    assert faults[5].endswith("must be an http:// or https:// address (got 'ftp://x')")


def test_a_fault_of_one_kind_hides_none_of_another(tmp_path):
    path = write(
        tmp_path,
        """
        [proxy]
        drain_s = "long"
        [ui]
        port = 8082
        [providers.a]
        protocol = "foo"
        base_url = "http://x"
        api_key = "sk-secret"
        [providers.b]
        protocol = "openai"
        base_url = "http://x"
        api_key = "env:NOWHERE"
        [[routes]]
        model = "*"
        provider = "nobody"
        """,
    )
    home = tmp_path / "home"
    home.touch()
    faults = told({"CLAUDE_PROXY_HOME": str(home)}, path).splitlines()
    assert [fault.split(":")[0] for fault in faults] == [
        "CLAUDE_PROXY_HOME",
        str(path),
        "proxy.drain_s",
        "providers.a.protocol",
        "routes.0.provider",
        "providers.a.api_key",
        "ui.port",
        "providers.b.api_key",
    ]
    assert "sk-secret" not in "".join(faults)


def told(environ: dict[str, str], path: Path | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ, config_file=path, overrides=overrides)
    return str(caught.value)


def test_a_fault_names_the_variable_that_the_value_came_from(tmp_path):
    path = write(tmp_path, "[proxy]\nport = 1\n")
    assert told({"CLAUDE_PROXY_PROXY_PORT": "many"}, path).startswith("CLAUDE_PROXY_PROXY_PORT: input should be")
    environ = {"CLAUDE_PROXY_PROXY_PORT": "8501"}
    assert told(environ) == "ui.port: 8501 is taken by CLAUDE_PROXY_PROXY_PORT"
    assert told(environ, **{"proxy.port": "few"}).startswith("proxy.port: ")
    assert told({}, write(tmp_path, "[proxy]\nport = 'x'")).startswith(f"{path}:\nproxy.port: ")


@pytest.mark.parametrize(
    "address",
    [
        "http://ann:s3cret@host",
        "https://s3cret@host/v1",
        "ftp://ann:s3cret@host",
        "http://ann:s3cret/x@host",
        "http://[s3cret",
    ],
)
def test_an_address_with_credentials_is_refused_and_not_repeated(tmp_path, address):
    text = f'[providers.a]\nprotocol = "anthropic"\nbase_url = "{address}"'
    assert "s3cret" not in told({}, write(tmp_path, text))
    said = told({"CLAUDE_PROXY_PROVIDERS_OPENAI_BASE_URL": address})
    assert said.startswith("CLAUDE_PROXY_PROVIDERS_OPENAI_BASE_URL: must ")
    assert "s3cret" not in said


def test_a_provider_s_key_given_as_its_whole_value_is_not_repeated(tmp_path):
    for text in ('providers = "sk-secret"', '[providers]\na = "sk-secret"', 'providers = ["sk-secret"]'):
        assert "sk-secret" not in told({}, write(tmp_path, text))
    assert "sk-secret" not in told({"CLAUDE_PROXY_PROVIDERS_OPENAI_API_KEY": "env:sk-secret"})


def test_a_key_s_variable_may_hold_a_reference(tmp_path):
    path = tmp_path / "key"
    path.write_text("sk-file\n")
    environ = {
        "CLAUDE_PROXY_PROVIDERS_OPENAI_API_KEY": f"file:{path}",
        "CLAUDE_PROXY_PROVIDERS_ANTHROPIC_API_KEY": "env:KEY",
        "KEY": "sk-env",
    }
    assert {name: p.api_key for name, p in load(environ).providers.items()} == {
        "openai": "sk-file",
        "anthropic": "sk-env",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[proxy", "not valid TOML"),
        ('[[routes]]\nmodel = "*"\nprovider = "acme"', "no provider 'acme' (known: anthropic, openai)"),
        ("[ui]\nport = 8082", "ui.port: 8082 is taken by proxy.port"),
        ('[store]\nmemory_limit = "lots"', 'must be a size such as "4GB"'),
        ("providers = 3", "providers:"),
        ("proxy = 3", "proxy:"),
    ],
    ids=["syntax", "unknown provider", "port twice", "no size", "providers no table", "section no table"],
)
def test_a_fault_says_where_and_what(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        load({}, config_file=write(tmp_path, text))
    assert said in str(caught.value)


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path):
    text = '[providers.a]\nprotocol = "anthropic"\nbase_url = "http://x"\napi_key = "sk-secret"'
    with pytest.raises(ConfigError) as caught:
        load({}, config_file=write(tmp_path, text))
    assert "sk-secret" not in str(caught.value)
    assert 'write "env:NAME" or "file:PATH"' in str(caught.value)


def test_a_secret_comes_from_a_variable_or_from_the_file_it_names(tmp_path):
    path = tmp_path / "key"
    path.write_text("sk-file\n")
    assert secret("env:KEY", {"KEY": "sk-env"}) == "sk-env"
    assert secret("env:KEY", {"KEY_FILE": str(path)}) == "sk-file"
    assert secret(f"file:{path}", {}) == "sk-file"
    config = load({"CLAUDE_PROXY_PROVIDERS_OPENAI_API_KEY_FILE": str(path)})
    assert config.providers["openai"].api_key == "sk-file"
    assert "sk-file" not in repr(config)


def test_a_missing_secret_is_named():
    with pytest.raises(ConfigError, match="neither KEY nor KEY_FILE is set"):
        secret("env:KEY", {})
    with pytest.raises(ConfigError, match=r"the file /nowhere/key cannot be read \(FileNotFoundError\)"):
        secret("file:/nowhere/key", {})


def test_a_home_too_long_for_a_socket_is_refused():
    with pytest.raises(ConfigError, match="too long to hold a Unix socket"):
        load({"CLAUDE_PROXY_HOME": "/tmp/" + "x" * 120})


def test_the_apis_token_and_the_receivers_headers_are_secrets(tmp_path):
    path = write(
        tmp_path,
        '[proxy]\napi_token = "env:TOKEN"\ncors_origins = ["https://a.example", "http://b.example:8080"]\n'
        '[otlp]\nendpoint = "http://127.0.0.1:4318"\nheaders = "env:HEADERS"',
    )
    config = load({"TOKEN": "open sesame", "HEADERS": "x-key=1"}, config_file=path)
    assert (config.proxy.api_token, config.otlp.headers) == ("open sesame", "x-key=1")
    assert config.proxy.cors_origins == ("https://a.example", "http://b.example:8080")
    assert "sesame" not in repr(config)
    assert "x-key" not in repr(config)


def test_a_token_comes_from_its_variable_or_from_the_file_it_names(tmp_path):
    (tmp_path / "token").write_text("from a file\n")
    assert load({"CLAUDE_PROXY_PROXY_API_TOKEN": "sesame"}).proxy.api_token == "sesame"
    named = {"CLAUDE_PROXY_PROXY_API_TOKEN_FILE": str(tmp_path / "token")}
    assert load(named).proxy.api_token == "from a file"
    sites = {"CLAUDE_PROXY_PROXY_CORS_ORIGINS": "https://a.example, https://b.example"}
    assert load(sites).proxy.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[proxy]\napi_token = "sesame"', "proxy.api_token: write"),
        ("[proxy]\napi_token = 531642", "proxy.api_token: "),
        ('[proxy]\napi_token = "env:NOWHERE"', "proxy.api_token: neither NOWHERE"),
        ('[otlp]\nheaders = "x-key=sesame"', "otlp.headers: write"),
        ('[otlp]\nendpoint = "ftp://x"', "otlp.endpoint: must be an http"),
        ('[otlp]\nendpoint = "http://me:sesame@x"', "otlp.endpoint: must be an http"),
        ("[otlp]\ninterval_s = 0.5", "otlp.interval_s: "),
        ('[proxy]\ncors_origins = ["*"]', "proxy.cors_origins.0: must be sites"),
        ('[proxy]\ncors_origins = ["https://a.example/path"]', "proxy.cors_origins.0: must be sites"),
        ("[proxy]\ncors_origins = 7", "proxy.cors_origins: "),
        ('[proxy]\nlog_level = "loud"', "proxy.log_level: "),
    ],
)
def test_a_fault_of_access_or_telemetry_is_named_without_its_value(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        load({}, config_file=write(tmp_path, text))
    assert said in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "531642" not in str(caught.value)

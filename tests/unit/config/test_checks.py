"""Every problem a configuration can have: what is said about it, where, and with which fix."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from adapter import Config, ConfigError, Problem, load_config
from adapter.config.files import OUR_TABLES
from adapter.keys.sources import KEY_SETTINGS

Write = Callable[..., Path]

SECRET = "sk-never-to-be-shown"

GOOD = '[[providers]]\nname = "p"\nbase_url = "https://h/v1"\n'


class Case(NamedTuple):
    """A file's text and the one problem it has."""

    id: str
    text: str
    line: int | None
    provider: str | None
    message: str
    fix: str


def provider(*lines: str, name: str | None = '"p"', url: str | None = '"https://h/v1"') -> str:
    """Return a [[providers]] table: name on line 2, base_url on line 3, the rest after them."""
    head = ["[[providers]]"]
    head += [] if name is None else [f"name = {name}"]
    head += [] if url is None else [f"base_url = {url}"]
    return "\n".join([*head, *lines, ""])


KEYED = provider(f'api_key = "{SECRET}"')
PLAIN = provider(url='"http://api.example.com/v1"')
EXTRAS = "[plugin.litellm.providers.p]"

ERRORS = [
    Case("syntax", "a = 1\nb =\n", 2, None, "not valid TOML: ", "correct the syntax"),
    Case("no name", provider(name=None), 1, None, "name is missing", 'add name = "'),
    Case("empty name", provider(name='""'), 2, None, "name is empty", "use a name like"),
    Case("slash", provider(name='"a/b"'), 2, "a/b", "name contains '/'", "use a name like"),
    Case("space", provider(name='"a b"'), 2, "a b", "white space", "use a name like"),
    Case("control", provider(name='"a\\u001bb"'), 2, "a\x1bb", "control", "use a name like"),
    Case("name type", provider(name="3"), 2, None, "name must be a string, not int", 'name = "'),
    Case("duplicate", GOOD + GOOD, 5, "p", "name is used twice in this file (first on line 1)",
         "rename one"),
    Case("no url", provider(url=None), 1, "p", "base_url is missing", 'add base_url = "https://'),
    Case("empty url", provider(url='""'), 3, "p", "base_url is missing", "add base_url"),
    Case("url type", provider(url="3"), 3, "p", "base_url must be a string, not int",
         'write base_url = "..."'),
    Case("falsy url type", provider(url="false"), 3, "p", "base_url must be a string, not bool",
         'write base_url = "..."'),
    Case("key type", provider("api_key = 12"), 4, "p", "api_key must be a string, not int",
         'write api_key = "..."'),
    Case("variable type", provider('api_key_env = ["A"]'), 4, "p",
         "api_key_env must be a string, not list", 'write api_key_env = "..."'),
    Case("model type", provider("default_model = 1979-05-27"), 4, "p",
         "default_model must be a string, not date", 'write default_model = "..."'),
    Case("variable name", provider(f'api_key_env = "{SECRET}"'), 4, "p",
         "api_key_env is not the name of a variable", 'like api_key_env = "GROQ_API_KEY"'),
    Case("relative url", provider(url='"localhost:8000/v1"'), 3, "p",
         "base_url is not an absolute http(s) URL", "write it like http://localhost:8000/v1"),
    Case("other scheme", provider(url='"ftp://h.example/v1"'), 3, "p",
         "base_url is not an absolute http(s) URL", "write it like https://h.example/v1"),
    Case("userinfo", provider(url=f'"https://u:{SECRET}@h/v1"'), 3, "p",
         "base_url contains a user name or password", "write https://h/v1"),
    Case("query", provider(url=f'"https://h/v1?k={SECRET}"'), 3, "p", "base_url has a query",
         "write https://h/v1"),
    Case("endpoint", provider(url='"https://h/v1/chat/completions"'), 3, "p",
         "base_url ends in /chat/completions", "write https://h/v1"),
    Case("port", provider(url='"https://h:port/v1"'), 3, "p",
         "base_url has no valid host and port", "write it like"),
    Case("providers is a table", '[providers]\nname = "p"\n', 1, None,
         "providers is not an array of tables", "write [[providers]]"),
    Case("providers holds text", 'a = 1\nproviders = ["p"]\n', 2, None,
         "providers[0] is not a table", "write each provider as a table"),
    Case("env", "env = 3\n", 1, None, "env must be a table", "write [env]"),
    Case("models", "models = 3\n", 1, None, "models must be a table", "write [models]"),
    Case("default", "[models]\ndefault = 3\n", 2, None, "models.default must be a string",
         'write default = "provider/model"'),
    Case("plugin", "plugin = 3\n", 1, None, "plugin must be a table", "write [plugin.litellm]"),
    Case("litellm", "[plugin]\nlitellm = 3\n", 2, None, "plugin.litellm must be a table",
         "write [plugin.litellm]"),
    *(
        Case(f"{table}.{setting}", f"[plugin.litellm.{table}]\n{setting} = {value}\n", 2, None,
             f"plugin.litellm.{table}.{setting} must be ", fix)
        for table, setting, value, fix in [
            ("worker", "mode", "true", 'write mode = "auto", "on" or "off"'),
            ("worker", "mode", '"yes"', 'write mode = "auto", "on" or "off"'),
            ("worker", "idle_minutes", "0", "like idle_minutes = 10"),
            ("worker", "idle_minutes", "inf", "like idle_minutes = 10"),
            ("worker", "idle_minutes", "true", "like idle_minutes = 10"),
            ("worker", "idle_minutes", '"10"', "like idle_minutes = 10"),
            ("gateway", "routes", '"some"', 'write routes = "all", or ["'),
            ("gateway", "max_request_bytes", "0", "like max_request_bytes = 67108864"),
            ("gateway", "max_request_bytes", "true", "like max_request_bytes = 67108864"),
            ("gateway", "routes", "[1]", 'write routes = "all", or ["'),
        ]
    ),
    Case("reply", f"{GOOD}[plugin.litellm.providers.p]\nmax_response_bytes = 0\n", 5, "p",
         "max_response_bytes must be a whole number above 0", "max_response_bytes = 268435456"),
    Case("model", f'{GOOD}[plugin.litellm]\nmodels = {{ "p/m" = 1 }}\n', 5, None,
         'plugin.litellm.models."p/m" must be a table', 'write [plugin.litellm.models."p/m"]'),
    Case("mode", f'{GOOD}[plugin.litellm.models."p/m"]\nmode = 1\n', 5, None,
         'plugin.litellm.models."p/m".mode must be a string', 'write mode = "chat"'),
    Case("section", "[plugin.litellm]\nrouter_settings = 3\n", 2, None,
         "plugin.litellm.router_settings must be a table",
         "write [plugin.litellm.router_settings]"),
    Case("extras type", GOOD + "[plugin.litellm.providers]\np = 3\n", 5, None,
         "plugin.litellm.providers.p must be a table", f"write {EXTRAS}"),
    *(
        Case(f"reserved {key}", f'{GOOD}{EXTRAS}\n{key} = "{SECRET}"\n', 5, "p",
             f"{key} cannot be set in plugin.litellm.providers.p", f"set {field} in")
        for key, field in [("model", "default_model"), ("api_base", "base_url"),
                           ("base_url", "base_url"), ("api_key", "api_key_env"),
                           ("api_key_env", "api_key_env")]
    ),
    Case("headers are text", f'{GOOD}{EXTRAS}\nextra_headers = "$VAR"\n', 5, "p",
         "plugin.litellm.providers.p.extra_headers must be a table",
         'write extra_headers = { NAME = "$VAR" }'),
    Case("headers are a list", f'{GOOD}{EXTRAS}\nextra_headers = ["{SECRET}"]\n', 5, "p",
         "plugin.litellm.providers.p.extra_headers must be a table",
         'write extra_headers = { NAME = "$VAR" }'),
    Case("header type", f"{GOOD}{EXTRAS[:-1]}.extra_headers]\nX-N = 3\n", 5, "p",
         "plugin.litellm.providers.p.extra_headers.X-N must be a string",
         'write X-N = "..."'),
    Case("misspelt key source", f'{GOOD}{EXTRAS}\napi_key_comand = "{SECRET}"\n', 5, "p",
         "unknown setting 'api_key_comand' in plugin.litellm.providers.p "
         "(did you mean 'api_key_cmd'?)", "use one of: api_key_cmd, api_key_file, api_key_keyring"),
    Case("key source of nobody", f'{GOOD}{EXTRAS}\napi_key_ = "{SECRET}"\n', 5, "p",
         "unknown setting 'api_key_' in plugin.litellm.providers.p", "use one of: api_key_cmd"),
    *(
        Case(f"relative key file {path}", f'{GOOD}{EXTRAS}\napi_key_file = "{path}"\n', 5, "p",
             "plugin.litellm.providers.p.api_key_file must be an absolute path",
             "begin it with / or ~/")
        for path in ("groq", "./groq", "../.keys/groq", "~nobody-of-that-name/groq")
    ),
]  # fmt: skip

WARNINGS = [
    *(
        Case(f"{name} {value}", f"{GOOD}{EXTRAS}\n{name} = {value}\n", 5, "p",
             f"plugin.litellm.providers.p.{name} must be ", f"write it like {name} = ")
        for name, value in [
            ("timeout", '"soon"'), ("timeout", "0"), ("timeout", "-1"), ("timeout", "inf"),
            ("timeout", "nan"), ("timeout", "1e12"), ("timeout", "[1]"), ("timeout", "true"),
            ("max_retries", "-1"), ("max_retries", "1.5"), ("num_retries", '"many"'),
        ]
    ),
    Case("near field", provider('base_ulr = "x"'), 4, "p",
         "unknown field 'base_ulr' in [[providers]] (did you mean 'base_url'?)",
         "[plugin.litellm.providers.p]"),
    Case("LiteLLM's word for a field", provider('api_base = "x"'), 4, "p",
         "unknown field 'api_base' in [[providers]] (did you mean 'base_url'?)", "write base_url"),
    Case("field of another kind", provider("timeout = 3"), 4, "p",
         "unknown field 'timeout' in [[providers]]; gptme skips the provider",
         "[plugin.litellm.providers.p]"),
    Case("unknown table", "[plugin.litellm.router_setings]\na = 1\n", 1, None,
         "unknown name plugin.litellm.router_setings (did you mean 'router_settings'?)",
         "use one of: providers, models, router_settings, litellm_settings, general_settings, "
         "worker, gateway"),
    Case("env value", "[env]\nA = 'b'\nGROQ_API_KEY = ['x']\n", 3, None,
         "env.GROQ_API_KEY must be a string to be used", 'write GROQ_API_KEY = "value"'),
    Case("env table", "[env]\nA = 'b'\n[env.more]\nX = 'x'\n", 3, None,
         "env.more must be a string to be used", 'write more = "value"'),
    Case("model of nobody", f'{GOOD}[plugin.litellm.models."pp/m"]\nmode = "chat"\n', 4, None,
         'plugin.litellm.models."pp/m": no provider is named \'pp\' (did you mean \'p\'?)',
         'name a model of a provider: [plugin.litellm.models."NAME/ID"]'),
    Case("model without an id", f"{GOOD}[plugin.litellm.models.p]\nmode = 'chat'\n", 4, None,
         "plugin.litellm.models.p names no model of a provider",
         '[plugin.litellm.models."NAME/ID"]'),
    Case("worker setting", "[plugin.litellm.worker]\nidle_minute = 3\n", 2, None,
         "unknown name plugin.litellm.worker.idle_minute (did you mean 'idle_minutes'?)",
         "use one of: mode, idle_minutes"),
    Case("gateway setting", "[plugin.litellm.gateway]\nport = 3\n", 2, None,
         "unknown name plugin.litellm.gateway.port", "use one of: routes, max_request_bytes"),
    Case("extras for nobody", f"{GOOD}# {EXTRAS[:-1]}q]\n[plugin.litellm.providers.pp]\na = 1\n",
         5, None, "no provider is named 'pp' (did you mean 'p'?)",
         "correct the name, or add the provider"),
    Case("plain http", provider(f'api_key = "{SECRET}"', url='"http://api.example.com/v1"'), 3, "p",
         "the key is sent to api.example.com unencrypted, over plain http", "use https"),
    *(
        Case(f"plain http, {setting}",
             f"{PLAIN}{EXTRAS}\n{setting} = {value}\n", 3, "p",
             "the key is sent to api.example.com unencrypted, over plain http", "use https")
        for setting, value in [("api_key_cmd", '"pass groq"'), ("api_key_file", '"/k"'),
                               ("api_key_keyring", "true")]
    ),
    Case("header in braces", f"{GOOD}{EXTRAS}\nextra_headers = {{ X-Key = '${{VAR}}' }}\n", 5, "p",
         'the header X-Key is sent with the text "${VAR}" in it', 'write "$VAR"'),
    Case("header with braces", f"{GOOD}{EXTRAS}\nextra_headers.A = 'Bearer ${{VAR}}'\n", 5, "p",
         'the header A is sent with the text "${VAR}" in it',
         'put the whole value into a variable and write "$VAR"'),
    Case("two in the table", provider('api_key_env = "K"', f'api_key = "{SECRET}"'), 4, "p",
         "api_key_env is not used: api_key takes precedence", "remove one of the two"),
    Case("two sources", KEYED + f'{EXTRAS}\napi_key_cmd = "x"\n', 6, "p",
         "api_key_cmd is not used: api_key takes precedence", "remove one of the two"),
    Case("two settings", f'{GOOD}{EXTRAS}\napi_key_keyring = true\napi_key_file = "/k"\n', 5, "p",
         "api_key_keyring is not used: api_key_file takes precedence", "remove one of the two"),
    *(
        Case(f"key {text}", provider(f"api_key = '{text}'"), 4, "p",
             "api_key looks like a variable, but is sent as it is", f'"{shown}"')
        for text, shown in [("$P_KEY", "P_KEY"), ("${P_KEY}", "P_KEY"), (" $P_KEY ", "P_KEY"),
                            ("os.environ/P_KEY", "P_KEY"), ("$ecretOfMine", "NAME_OF_VARIABLE")]
    ),
    Case("key after Bearer", provider(f'api_key = "Bearer {SECRET}"'), 4, "p",
         "api_key begins with Bearer, which would be sent twice", "write the key alone"),
    Case("one variable for two", GOOD + provider(name='"P"'), 5, "P",
         "it shares its key with provider 'p': both use $P_API_KEY", "(api_key_env)"),
    Case("plain http, variable", provider('api_key_env = "K"', url='"http://8.8.8.8/v1"'), 3, "p",
         "the key is sent to 8.8.8.8 unencrypted, over plain http", "use https"),
]  # fmt: skip


def problems_of(text: str, write: Write) -> tuple[Problem, ...]:
    write(text)
    with pytest.raises(ConfigError) as caught:
        load_config()
    return caught.value.problems


def check(case: Case, problem: Problem, path: Path, warning: bool) -> None:
    assert problem.path == str(path)
    assert problem.line == case.line
    assert problem.provider == case.provider
    assert case.message in problem.message
    assert case.fix in problem.fix
    assert problem.warning is warning


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c.id)
def test_an_error_names_file_line_provider_field_and_fix(
    case: Case, write: Write, config_dir: Path
) -> None:
    (problem,) = problems_of(case.text, write)

    check(case, problem, config_dir / "gptme.toml", warning=False)


@pytest.mark.parametrize("case", WARNINGS, ids=lambda c: c.id)
def test_a_warning_names_file_line_provider_field_and_fix_and_stops_nothing(
    case: Case, write: Write, config_dir: Path
) -> None:
    write(case.text)

    (problem,) = load_config().warnings

    check(case, problem, config_dir / "gptme.toml", warning=True)


def test_a_file_with_a_key_that_others_can_read_is_a_warning(
    write: Write, config_dir: Path
) -> None:
    case = Case("", GOOD + f'api_key = "{SECRET}"\n', 4, "p", "other users can read", "chmod 600")
    for mode in (0o640, 0o604, 0o644, 0o666):
        write(case.text, mode=mode)
        (problem,) = load_config().warnings
        check(case, problem, config_dir / "gptme.toml", warning=True)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (GOOD + f'api_key = "{SECRET}"\n', 0o600),
        (GOOD + f'api_key = "{SECRET}"\n', 0o400),
        (GOOD + 'api_key = ""\n', 0o644),
        (GOOD + 'api_key_env = "K"\n', 0o644),
        (provider(url='"http://api.example.com/v1"'), 0o644),
        (provider(f'api_key = "{SECRET}"', url='"http://localhost:8000/v1"'), 0o600),
        (provider('api_key_env = "K"', url='"http://192.168.1.2/v1"'), 0o644),
        (provider('api_key_env = "K"', url='"http://[::1]:8000/v1"'), 0o644),
        ("[env]\nA = 'text'\nB = 3\nC = 1.5\n", 0o644),
        ("[plugin.other]\nanything = 1\n[tools]\nx = [1]\n[mcp]\nenabled = true\n", 0o644),
        ("".join(f"[plugin.litellm.{table}]\n" for table in OUR_TABLES), 0o644),
        (f"{GOOD}{EXTRAS}\ntimeout = 3\nextra_headers = {{ A = 'b' }}\n", 0o644),
        (f"{GOOD}{EXTRAS}\nextra_headers = {{ A = '$VAR', B = '{{VAR}}', C = '$' }}\n", 0o644),
        (f"{GOOD}{EXTRAS}\nextra_headers = {{}}\n", 0o644),
        (provider("api_key = '$2b$10$hashed'"), 0o600),
        (GOOD + provider('api_key_env = "P_API_KEY"', name='"P"'), 0o644),
        (GOOD + provider(name='"p-p"') + provider('api_key = "k"', name='"p_p"'), 0o600),
        (f'{GOOD}{EXTRAS}\napi_key_file = "~/.keys/p"\napi_key_keyring = false\n', 0o644),
        (provider("api_key = ' '") + f'{EXTRAS}\napi_key_cmd = ["pass"]\n', 0o600),
        (f"{PLAIN}{EXTRAS}\napi_key_keyring = false\n", 0o644),
        ("providers = []\n", 0o644),
        ("", 0o644),
    ],
)
def test_what_is_right_is_not_complained_about(text: str, mode: int, write: Write) -> None:
    write(text, mode=mode)

    assert load_config().warnings == ()


def test_all_problems_of_all_files_come_at_once_errors_first(write: Write) -> None:
    write('[[providers]]\nname = "a/b"\nurl = "x"\n', "config.toml")
    write("broken\n", "gptme.toml")
    write('[[providers]]\n[[providers]]\nname = "q"\nbase_url = "h"\n', "config.local.toml")

    with pytest.raises(ConfigError) as caught:
        load_config()

    problems = caught.value.problems
    assert [(Path(p.path).name, p.line, p.provider, p.message[:18]) for p in problems] == [
        ("config.toml", 2, "a/b", "name contains '/',"),
        ("gptme.toml", 1, None, "not valid TOML: Ex"),
        ("config.local.toml", 1, None, "name is missing"),
        ("config.local.toml", 1, None, "base_url is missin"),
        ("config.local.toml", 4, "q", "base_url is not an"),
        ("config.toml", 1, "a/b", "base_url is missin"),
        ("config.toml", 3, "a/b", "unknown field 'url"),
    ]
    assert [p.warning for p in problems] == [False] * 6 + [True]
    assert str(caught.value) == "\n".join(map(str, problems))


def test_all_problems_of_one_table_come_at_once(write: Write) -> None:
    found = problems_of(
        "[[providers]]\nname = 1\nbase_url = 2\napi_key = 3\napi_key_env = 4\ndefault_model = 5\n",
        write,
    )

    assert [p.line for p in found] == [2, 3, 4, 5, 6]


def test_extras_are_complained_about_in_the_file_they_stand_in(
    write: Write, config_dir: Path
) -> None:
    """Not in the last file, and not on the line of another provider whose name begins alike."""
    write(
        f'{GOOD}[plugin.litellm.providers."p-2"]\n{EXTRAS}\nmodel = "m"\n[plugin.litellm.typo]\n',
        "config.toml",
    )
    write(f"# {EXTRAS}\n# [plugin.litellm.typo]\n{EXTRAS}\ntimeout = 1\n", "config.local.toml")

    with pytest.raises(ConfigError) as caught:
        load_config()

    found = [(p.path, p.line) for p in caught.value.problems]
    assert found == [(str(config_dir / "config.toml"), line) for line in (6, 7, 4)]


def test_a_base_url_another_file_gives_is_not_missing(write: Write) -> None:
    write('[[providers]]\nname = "p"\napi_key = "k"\n', "config.toml")
    write(GOOD, "gptme.toml")

    assert load_config().warnings == ()


def test_a_name_used_in_two_files_is_a_merge_and_no_duplicate(write: Write) -> None:
    write(GOOD, "config.toml")
    write(GOOD, "gptme.toml")

    assert [p.name for p in load_config().providers] == ["p"]


def test_plain_http_is_warned_about_where_the_url_stands(write: Write, config_dir: Path) -> None:
    """The key may come from one file and the URL that would reveal it from a later one."""
    write(GOOD + 'api_key = "k"\n', "config.toml")
    write('\n[[providers]]\nname = "p"\nbase_url = "http://h.example/v1"\n', "config.local.toml")

    (warning,) = load_config().warnings

    assert (warning.path, warning.line) == (str(config_dir / "config.local.toml"), 4)


def test_a_later_file_that_gives_a_stronger_key_is_meant_to(write: Write) -> None:
    """That is what config.local.toml is for; the other way round the later file has no effect."""
    strong, weak = 'api_key = "k"\n', 'api_key_env = "K"\n'
    write(GOOD + weak, "config.toml")
    write('[[providers]]\nname = "p"\n' + strong, "config.local.toml")
    assert load_config().warnings == ()

    write(GOOD + strong, "config.toml")
    path = write('[[providers]]\nname = "p"\n' + weak, "config.local.toml")
    (warning,) = load_config().warnings
    assert (warning.path, warning.line) == (str(path), 3)
    assert warning.message == "api_key_env is not used: api_key takes precedence"


def test_a_key_field_under_plugin_is_an_error_and_no_other_trouble(write: Write) -> None:
    write(KEYED + 'api_key_env = "K"\n', "config.toml")
    path = write(f'{EXTRAS}\napi_key_env = "K"\n', "config.local.toml")

    with pytest.raises(ConfigError) as caught:
        load_config()

    assert next((p.path, p.warning) for p in caught.value.problems) == (str(path), False)


def shown(config: Config | ConfigError) -> str:
    """Return all that a configuration or its error lets be seen, a pickle of the error included."""
    if isinstance(config, Config):
        return repr(config) + repr(config.warnings) + "".join(map(str, config.warnings))
    return str(config) + repr(config) + repr(config.problems) + repr(pickle.dumps(config))


@pytest.mark.parametrize("case", [*ERRORS, *WARNINGS], ids=lambda c: c.id)
def test_no_problem_shows_a_key(case: Case, write: Write) -> None:
    keys = f'[[providers]]\nname = "k"\nbase_url = "https://h/v1"\napi_key = "{SECRET}"\n'
    write(case.text)
    write(f'{keys}[env]\nA_API_KEY = "{SECRET}"\n', "config.local.toml")

    try:
        result: Config | ConfigError = load_config()
    except ConfigError as error:
        result = error

    assert SECRET not in shown(result)


WHOLE = f"""\
[env]
OTHER_API_KEY = "{SECRET}"
[[providers]]
name = "p"
base_url = "https://user:{SECRET}@example.com/v1?key={SECRET}"
api_key = "{SECRET}"
api_key_env = "{SECRET}"
[plugin.litellm.providers.p]
api_key = "{SECRET}"
extra_headers = {{ Authorization = "{SECRET}" }}
"""


@settings(deadline=None, max_examples=300)
@given(
    place=st.integers(0, len(WHOLE)),
    typed=st.text("\"'[]{}=,.#\\\n x/@:", min_size=1, max_size=2),
)
def test_no_slip_of_the_hand_makes_a_message_show_a_key(
    place: int, typed: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = WHOLE[:place] + typed + WHOLE[place:]
    if text.count(SECRET) < WHOLE.count(SECRET):
        return  # typed into the middle of a key
    path = tmp_path_factory.getbasetemp() / "slip.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert SECRET not in shown(caught.value)


VALUES = st.one_of(
    st.text("ab/ \n\x1b", max_size=3),
    st.integers(-1, 1),
    st.booleans(),
    st.lists(st.integers(0, 1), max_size=1),
    st.dictionaries(st.sampled_from(["a", "p"]), st.integers(0, 1), max_size=1),
)
FIELD_NAMES = st.sampled_from(["name", "base_url", "api_key", "api_key_env", "default_model", "x"])
ENTRIES = st.lists(VALUES | st.dictionaries(FIELD_NAMES, VALUES), max_size=3)
SETTINGS = st.dictionaries(
    st.sampled_from([*KEY_SETTINGS, "api_key_x", "extra_headers", "timeout"]),
    VALUES | st.dictionaries(st.sampled_from(["A", "B C"]), st.sampled_from(["${V}", "$V", 1])),
)
OURS = st.dictionaries(
    st.sampled_from([*OUR_TABLES, "x"]),
    VALUES | st.dictionaries(st.sampled_from(["p", "a"]), VALUES | SETTINGS),
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "providers": VALUES | ENTRIES,
        "env": VALUES,
        "models": VALUES | st.fixed_dictionaries({"default": VALUES}),
        "plugin": VALUES | st.fixed_dictionaries({"litellm": VALUES | OURS}),
    },
)


@settings(deadline=None, max_examples=200)
@given(files=st.lists(FILES, min_size=1, max_size=3))
def test_whatever_the_files_hold_it_is_a_configuration_or_a_config_error(
    files: list[dict[str, object]],
) -> None:
    """No shape of TOML ends in another exception, and each error says where and what to do."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as home:
        folder = Path(home, "gptme")
        folder.mkdir()
        names = ["config.toml", "gptme.toml", "config.local.toml"]
        for name, data in zip(names, files, strict=False):
            (folder / name).write_text(tomlkit.dumps(data), encoding="utf-8")
        patch.setenv("XDG_CONFIG_HOME", home)
        try:
            problems = load_config().warnings
        except ConfigError as error:
            problems = error.problems
            assert any(not p.warning for p in problems)

    for problem in problems:
        assert Path(problem.path).parent == folder
        assert problem.message
        assert problem.fix

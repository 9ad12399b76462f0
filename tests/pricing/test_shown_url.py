"""URLs as they are shown: no password, no value of a query that may be a secret."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepthrift_pricing._store.url import safe_url, without_schema
from deepthrift_pricing._values.shown_url import shown_url, url_secrets, without_secrets_in
from deepthrift_pricing.errors import ConfigurationError

SHOWN = {
    "http://h:1/v1": "http://h:1/v1",
    "http://h:1/v1?key=sk-1": "http://h:1/v1?key=***",
    "https://h/v1?api-version=2024&sig=ab&flag&x=": "https://h/v1?api-version=2024&sig=***&***&x=",
    "http://u:p@h/v1#part": "http://h/v1",
    "http://h/run/@cf/model?k=1": "http://h/run/@cf/model?k=***",
    "http://[::1]:9/v1?k=a@b": "http://[::1]:9/v1?k=***",
    "http://u:p?w/x@h/v1?k=1": "http://h/v1?k=***",
    "http://u:p#w@h/v1": "http://h/v1",
    "postgresql://u:p/w@h/db?schema=s&password=x": "postgresql://h/db?schema=s&password=***",
    "memory:": "memory:",
}
SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20)


@pytest.mark.parametrize("url", SHOWN)
def test_what_is_shown(url: str) -> None:
    assert shown_url(url) == SHOWN[url]


@given(SECRET, SECRET, st.sampled_from(["key", "sig", "x", "code"]))
def test_no_secret_is_shown_and_all_are_known(password: str, key: str, name: str) -> None:
    password, key = f"P{password}", f"K{key}"
    url = f"https://me:{quote(password, safe='')}@host/v1?{name}={quote(key, safe='')}&api-version=1"
    for shown in (shown_url(url), without_secrets_in(url)):
        assert "api-version=1" in shown
        for secret in (password, key):
            assert secret not in shown
            assert quote(secret, safe="") not in shown
    assert {password, key, quote(password, safe=""), quote(key, safe="")} <= set(url_secrets(url))


def test_for_a_file() -> None:
    assert without_secrets_in("https://u:p@h/v1?key=a&api-version=1&b") == "https://h/v1?api-version=1"
    assert without_secrets_in("https://h/v1?key=a") == "https://h/v1"


@pytest.mark.parametrize("password", ["secret", "se%40cr%2Fet", "se/cr?et#1", "s%zz"])
def test_a_ledgers_url_keeps_its_user(password: str) -> None:
    assert safe_url(f"postgresql://me:{password}@h:5432/db?schema=a&password=x") == "postgresql://me@h:5432/db?schema=a"
    kept = "postgresql://h/db?user=me&options=-c%20a%3D1&sslkey=/a/file"
    assert safe_url(f"{kept}&sslpassword={password}") == kept
    assert safe_url("sqlite:////a?b@c") == "sqlite:////a?b@c"


PLACES = (
    "postgresql://me:p%40s%2Fs%3F%23%25%3A@h:5432/d%20b",
    "postgresql:///db",
    "postgresql://%2Fvar%2Frun%2Fpostgresql/db",
    "postgresql://a:1,b:2/db",
    "postgresql://[::1]:5432/db",
)
SETTINGS = ("options=-c%20statement_timeout%3D5s", "application_name=a+b", "sslmode=disable")


@pytest.mark.parametrize("place", PLACES)
def test_everything_but_the_schema_goes_to_the_database_as_it_is_written(place: str) -> None:
    assert without_schema(place) == (place, "deepthrift")
    assert without_schema(f"{place}?schema=a%20b%2Fc") == (place, "a b/c")
    query = "&".join(SETTINGS)
    for mixed in (f"schema=s&{query}", f"{query}&schema=s", query.replace("&", "&schema=s&", 1)):
        assert without_schema(f"{place}?{mixed}") == (f"{place}?{query}", "s")


@pytest.mark.parametrize("schema", ["", "pg_x", "a" * 64, "é" * 32, "a%00"])
def test_impossible_schemas_are_refused(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="schema"):
        without_schema(f"postgresql://h/db?schema={schema}")

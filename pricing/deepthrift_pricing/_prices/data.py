"""Price files: TOML, one table for each row, checked before anything is priced with them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pydantic import ValidationError

from deepthrift_pricing._prices.price import Price
from deepthrift_pricing._values.errors import PriceDataError
from deepthrift_pricing._values.text_file import read_text

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_CURRENCIES: Final = ("usd", "cny")
_PARTS: Final = ("cache_hit", "cache_miss", "completion")
_AMOUNTS: Final = (*_PARTS, "cache_write")


def read_prices(path: Path) -> tuple[Price, ...]:
    """The rows of a price file.

    Raises:
        PriceDataError: The file cannot be read, is not TOML, or a row is invalid; the message names the row.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PriceDataError(f"the price file {str(path)!r} cannot be read: {error}") from error
    return parse_prices(text, str(path))


def packaged_prices(name: str) -> tuple[Price, ...]:
    """The rows of a price file that lies beside the code: a host's, or `profiles/…`."""
    return parse_prices(_folder().joinpath(f"{name}.toml").read_text("utf-8"), f"{name}.toml")


def packaged_names(folder: str = "") -> tuple[str, ...]:
    """The price files that lie beside the code, in the folder of the hosts or in `profiles`."""
    found = (_folder().joinpath(folder) if folder else _folder()).iterdir()
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in found if entry.name.endswith(".toml")))


def _folder() -> Traversable:
    from importlib.resources import files

    return files("deepthrift_pricing").joinpath("data", "prices")


def parse_prices(text: str, where: str) -> tuple[Price, ...]:
    """The rows in the text of a price file; `where` names it in errors.

    Keys beside the `[[price]]` tables hold for every row that does not say otherwise. A row gives its amounts as
    `cache_hit`, `cache_miss` and `completion`, or once for each currency as `usd = [hit, miss, completion]` and
    `cny = [...]`; `daily` may list several windows; `times` multiplies the amounts of tokens. Such a row becomes
    several prices, and their ids say which. `per_request` gives amounts per 1,000 requests by kind, in a row of two
    currencies once for each: `per_request = {usd = {search = "0.75"}, cny = {search = "5"}}`. `brackets` lists other
    amounts for longer prompts, in the same form as the row's own: `brackets = [{above = 200000, usd = [...]}]`. A
    `[[hardware]]` table is a price made from machines of one's own.
    """
    import tomllib  # costs milliseconds, and a program may never read a price file

    try:
        document = cast("dict[str, object]", tomllib.loads(text, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise PriceDataError(f"{where}: not valid TOML: {error}") from error
    tables = _tables(document, "price", where)
    machines = _tables(document, "hardware", where)
    if not tables and not machines:
        raise PriceDataError(f"{where}: no [[price]] table found; each row of a price file is one")
    rows: list[Price] = []
    for name, row in tables:
        for fields in _expand({**document, **row}, name):
            try:
                rows.append(Price.model_validate(fields))
            except ValidationError as error:
                raise _wrong(name, error) from error
    if machines:
        from deepthrift_pricing._prices.hardware_row import HardwareRow

        shared = {key: value for key, value in document.items() if key in HardwareRow.model_fields}
        for name, row in machines:
            try:
                rows.append(HardwareRow.model_validate({**shared, **row}).price())
            except ValidationError as error:
                raise _wrong(name, error) from error
    ids = [row.id for row in rows]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise PriceDataError(f"{where}: the id {twice[0]!r} is used twice; every row needs its own")
    return tuple(rows)


def _tables(document: dict[str, object], kind: str, where: str) -> list[tuple[str, dict[str, object]]]:
    """The tables of one kind, taken out of the document, each with its name for errors."""
    tables = document.pop(kind, [])
    if not isinstance(tables, list):
        raise PriceDataError(f"{where}: {kind} is not a list of tables; write [[{kind}]] above each")
    found: list[tuple[str, dict[str, object]]] = []
    for number, table in enumerate(cast("list[object]", tables), 1):
        if not isinstance(table, dict):
            raise PriceDataError(f"{where}: row {number} is not a table; write [[{kind}]] above it")
        row = cast("dict[str, object]", table)
        found.append((f"{where}: row {number} ({row.get('id', 'no id')})", row))
    return found


def _wrong(name: str, error: ValidationError) -> PriceDataError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return PriceDataError(f"{name}: {place + ': ' if place else ''}{first['msg']}")


def _expand(row: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """One file row as the rows it stands for: each currency with each daily window."""
    shared = dict(row)
    times = shared.pop("times", 1)
    if not isinstance(times, int | Decimal) or isinstance(times, bool):
        raise PriceDataError(f"{name}: times: give a number, such as 2")
    brackets = _objects(shared.pop("brackets", []), f"{name}: brackets")
    requests = shared.pop("per_request", None)
    amounts: list[dict[str, object]] = []
    for currency in _CURRENCIES:
        listed = shared.pop(currency, None)
        if listed is None:
            continue
        parts = _listed(listed, f"{name}: {currency}")
        amounts.append({**parts, "currency": currency.upper(), "id": f"{row.get('id', '')}/{currency}"})
    if amounts and any(part in shared for part in (*_AMOUNTS, "currency")):
        raise PriceDataError(f"{name}: give usd and cny, or the amounts with a currency, not both")
    daily = shared.get("daily")
    windows: list[object] = [daily]
    if isinstance(daily, list) and daily and isinstance(daily[0], list):
        windows = cast("list[object]", daily)
    expanded: list[dict[str, object]] = []
    for parts in amounts or [{}]:
        of = str(parts.get("currency", "")).lower() or None
        extra = {
            "brackets": [_bracket(each, of, times, f"{name}: brackets") for each in brackets],
            "per_request": _per_request(requests, of, f"{name}: per_request"),
        }
        for number, window in enumerate(windows, 1):
            fields = {**shared, **parts, **extra, "daily": window}
            if len(windows) > 1:
                fields["id"] = f"{fields.get('id', '')}/{number}"
            expanded.append(_multiplied(fields, times, name))
    return expanded


def _listed(value: object, where: str) -> dict[str, object]:
    """The amounts in `[hit, miss, completion]`."""
    if not isinstance(value, list) or len(cast("list[object]", value)) != len(_PARTS):
        raise PriceDataError(f"{where}: give three amounts: cache hit, cache miss, completion")
    return dict(zip(_PARTS, cast("list[object]", value), strict=True))


def _objects(value: object, where: str) -> list[Mapping[str, object]]:
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or not all(isinstance(item, Mapping) for item in items):
        raise PriceDataError(f"{where}: give a list of tables, such as [{{above = 200000, usd = [...]}}]")
    return cast("list[Mapping[str, object]]", items)


def _multiplied(fields: dict[str, object], times: int | Decimal, name: str) -> dict[str, object]:
    """`fields` with their amounts of tokens multiplied, and without empty ones."""
    for part in _AMOUNTS:
        if part in fields and fields[part] != "":
            fields[part] = _times(fields[part], times, f"{name}: {part}")
        else:
            fields.pop(part, None)
    return fields


def _bracket(
    bracket: Mapping[str, object], currency: str | None, times: int | Decimal, where: str
) -> dict[str, object]:
    """A bracket's amounts in one currency of its row."""
    fields = {key: value for key, value in bracket.items() if key not in _CURRENCIES}
    if currency is not None:
        if currency not in bracket:
            raise PriceDataError(f"{where}: give {currency} in every bracket of a row that has it")
        fields |= _listed(bracket[currency], f"{where}: {currency}")
    elif len(fields) < len(bracket):
        raise PriceDataError(f"{where}: give the amounts as the row does: cache_hit, cache_miss, completion")
    return _multiplied(fields, times, where)


def _per_request(value: object, currency: str | None, where: str) -> dict[str, object]:
    """The amounts per 1,000 requests in one currency of a row; `times` doesn't change them."""
    if value is None:
        return {}
    kinds = value
    if currency is not None and isinstance(value, Mapping):
        if unknown := sorted(set(cast("Mapping[str, object]", value)) - set(_CURRENCIES)):
            raise PriceDataError(
                f"{where}: {unknown[0]!r} is no currency; in a row with usd or cny, give the amounts for each, such as "
                'per_request = {usd = {search = "0.75"}}'
            )
        kinds = cast("Mapping[str, object]", value).get(currency, {})
    if not isinstance(kinds, Mapping):
        raise PriceDataError(f"{where}: give a table of amounts by kind, such as {{search = '0.75'}}")
    found = cast("Mapping[str, object]", kinds)
    return {kind: _times(amount, 1, f"{where}: {kind}") for kind, amount in found.items()}


def _times(value: object, times: int | Decimal, where: str) -> Decimal:
    if isinstance(value, float) or not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        raise PriceDataError(f"{where}: write the price as text, such as '0.28'")
    try:
        return Decimal(value) * times
    except ArithmeticError:
        raise PriceDataError(f"{where}: {value!r} is not a number") from None

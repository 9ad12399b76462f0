"""Price files: TOML, one table for each row, checked before anything is priced with them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from pydantic import ValidationError

from deepthrift_pricing._price import Price
from deepthrift_pricing._text_file import read_text
from deepthrift_pricing.errors import PriceDataError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_CURRENCIES: Final = ("usd", "cny")
_PARTS: Final = ("cache_hit", "cache_miss", "completion")


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
    `cny = [...]`; `daily` may list several windows; `times` multiplies the amounts. Such a row becomes several prices,
    and their ids say which. A `[[hardware]]` table is a price made from machines of one's own.
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
        from deepthrift_pricing._hardware_row import HardwareRow

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
    amounts: list[dict[str, object]] = []
    for currency in _CURRENCIES:
        listed = shared.pop(currency, None)
        if listed is None:
            continue
        if not isinstance(listed, list) or len(cast("list[object]", listed)) != len(_PARTS):
            raise PriceDataError(f"{name}: {currency}: give three amounts: cache hit, cache miss, completion")
        parts = dict(zip(_PARTS, cast("list[object]", listed), strict=True))
        amounts.append({**parts, "currency": currency.upper(), "id": f"{row.get('id', '')}/{currency}"})
    if amounts and any(part in shared for part in (*_PARTS, "currency")):
        raise PriceDataError(f"{name}: give usd and cny, or the amounts with a currency, not both")
    daily = shared.get("daily")
    windows: list[object] = [daily]
    if isinstance(daily, list) and daily and isinstance(daily[0], list):
        windows = cast("list[object]", daily)
    expanded: list[dict[str, object]] = []
    for parts in amounts or [{}]:
        for number, window in enumerate(windows, 1):
            fields = {**shared, **parts, "daily": window}
            if len(windows) > 1:
                fields["id"] = f"{fields.get('id', '')}/{number}"
            for part in _PARTS:
                if part in fields and fields[part] != "":
                    fields[part] = _times(fields[part], times, f"{name}: {part}")
                else:
                    fields.pop(part, None)
            expanded.append(fields)
    return expanded


def _times(value: object, times: int | Decimal, where: str) -> Decimal:
    if isinstance(value, float) or not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        raise PriceDataError(f"{where}: write the price as text, such as '0.28'")
    try:
        return Decimal(value) * times
    except ArithmeticError:
        raise PriceDataError(f"{where}: {value!r} is not a number") from None

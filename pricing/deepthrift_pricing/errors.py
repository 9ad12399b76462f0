"""The root of the one error tree, and the part of it that concerns money.

```
DeepthriftError
├── ConfigurationError            a setting is wrong; nothing was sent            (also ValueError)
├── InvalidRequestError           a request is wrong; nothing was sent            (also ValueError)
│   └── ContextLengthExceeded     the prompt does not fit the model's context
├── PricingError
│   ├── PriceNotFound             no price for this host, model, mode and moment  (also LookupError)
│   ├── PriceDataError            a price file or row is invalid                  (also ValueError)
│   └── CurrencyMismatch          two currencies met without a rate
├── BudgetExceeded                the worst case of the call does not fit a budget
├── LedgerError
│   ├── LedgerUnavailable         the store cannot be written (full disk, lock, lost connection)
│   ├── LedgerClosed              the ledger was used after close()
│   └── UnknownReservation        settle or release of an attempt that was never reserved
└── … the SDK's own, see `deepthrift.errors`
```
"""

from deepthrift_pricing._values import errors as _errors
from deepthrift_pricing._values.errors import *  # noqa: F403  # the same names; `__all__` there lists them

__all__: list[str] = []
__all__ += _errors.__all__


for _name in __all__:
    globals()[_name].__module__ = __name__  # tracebacks and docs show where users import it from

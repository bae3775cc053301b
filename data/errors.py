"""What can go wrong with the data.

DataError
├── ConfigError          the configuration has faults, all of them listed
├── KeyFault             a virtual key's document, or what is wanted of the key, is at fault
├── NoSuchKey            no virtual key of that name
├── UnknownMetric        no metric, dimension, grain or time zone of that name
├── ImportFailed         logs of another program cannot be read into the ledger
├── BudgetFault          a budget's document, or what is wanted of the budget, is at fault
├── NoSuchBudget         no budget of that name or id
├── NoSuchCrosstalk      no conversation of models of that id
├── CountersError        the budgets' counters cannot be read or written now
│   ├── CountersDamaged  … nor ever: the file is damaged
│   ├── CountersOutdated the caller does not know the newest budgets
│   └── CountersConflict somebody else has done it, or something else, meanwhile
├── LimitsUnknown        what virtual keys have used at all proxies of the home cannot be told now
│   └── LimitsDamaged    … nor ever: the file is damaged
├── ImportFailed         logs of another program cannot be read into the ledger
└── StoreError
    ├── StoreUnavailable no store answers
    ├── DeadlineExceeded the query ran into its time limit and was ended
    ├── RowLimitExceeded the answer has more rows than asked for
    ├── QueryRejected    the statement is not allowed or not valid
    └── ConflictError    a statement of a transaction changed another number of rows than expected
"""


class DataError(Exception):
    """Base of this package's errors."""


class ConfigError(DataError):
    """The configuration has faults; the message lists them, one a line."""


class KeyFault(DataError):
    """A virtual key's document has faults, or the key cannot be changed so; the message names the fields."""


class NoSuchKey(DataError):
    """No virtual key has that name."""


class UnknownMetric(DataError):
    """No metric, dimension, grain or time zone of that name."""


class ImportFailed(DataError):
    """Logs of another program cannot be read into the ledger; what was stored before stays."""


class BudgetFault(DataError):
    """A budget's document has faults, or the budget cannot be changed so; the message names the fields."""


class NoSuchBudget(DataError):
    """No budget has that name or id."""


class NoSuchCrosstalk(DataError):
    """No conversation of models has that id."""


class CountersError(DataError):
    """The budgets' counters cannot be read or written now."""


class CountersDamaged(CountersError):
    """The counters' file is damaged."""


class CountersOutdated(CountersError):
    """The caller does not know the newest budgets."""


class CountersConflict(CountersError):
    """Somebody else has done it, or something else, meanwhile."""


class LimitsUnknown(DataError):
    """What virtual keys have used at all proxies of the home cannot be read or written now."""


class LimitsDamaged(LimitsUnknown):
    """The file that says so is damaged."""


class StoreError(DataError):
    """Base of the store's errors."""


class StoreUnavailable(StoreError):
    """No store answers at the configured address."""


class DeadlineExceeded(StoreError):
    """The query ran into its time limit and was interrupted."""


class RowLimitExceeded(StoreError):
    """The answer has more rows than the caller allowed."""


class QueryRejected(StoreError):
    """The statement is not allowed in this role, or is not valid SQL."""


class ConflictError(StoreError):
    """A statement changed another number of rows than expected; nothing was changed."""

"""What budgets have counted on this machine: one SQLite file that all proxies of a home share.

Amounts are whole nanodollars, times UTC microseconds. A budget's money in a window is in three tables:

spent    what calls cost that have ended, by bucket
slices   what a proxy has taken for itself: free, held by its calls, or settled by them and not yet in `spent`
holds    what the batches may still cost whose results have not been read (`batches` says which there are)

`folded` says up to which record of its spool a proxy's settled money is in `spent`; both change in one transaction, so
after any crash the rest is found in the spool, and nothing counts twice. A slice is only ever given where the sum of
all of them leaves room for it. `generation` moves with every change of the documents: a proxy that does not know the
newest may neither take nor fold.

A commit is not made durable: it survives the end of any process, and after a power cut nobody holds a slice. `sync`
says what is durable.
"""

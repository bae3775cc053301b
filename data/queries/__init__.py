"""Questions that are not metrics, one function each."""

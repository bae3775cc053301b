"""Names that can be read, told apart and written into a log or a mail's subject. Pure."""

#: What joins letters and emoji in some languages' names, although it is not seen by itself.
_JOINERS = frozenset("\u200c\u200d")


def unreadable(name: str) -> str:
    """Why nobody could be shown this name, as words after it; '' where nothing is wrong."""
    if not name.strip():
        return "must not be blank"
    if name != name.strip():
        return "must not begin or end with a space"
    strange = next((char for char in name if not char.isprintable() and char not in _JOINERS), "")
    return f"must not hold characters that cannot be seen, as {strange!a}" if strange else ""

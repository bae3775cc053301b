"""What stands where nothing is to be seen: why it is empty, and what to do next."""

import streamlit as st


def empty(title: str, why: str, *, icon: str = "inbox", key: str) -> None:
    """A quiet box with a title and one or two sentences (Markdown) that say why and what next."""
    with st.container(border=True, key=f"empty-{key}", horizontal_alignment="center", gap="xsmall"):
        st.markdown(f":gray[:material/{icon}:]", width="content")
        st.markdown(f"**{title}**", width="content")
        st.markdown(why, width="content", text_alignment="center")


def no_readings(key: str) -> None:
    """Nothing that providers said of their limits counts in the chosen range."""
    empty(
        "No limits known in this range",
        "Providers tell in their answers how much of a limit is used; that counts until the limit resets. "
        "Choose a longer range or take filters away.",
        icon="search_off",
        key=key,
    )


def no_data(key: str, first: str | None) -> None:
    """Nothing in the chosen range; `first` says since when there is something, None: the ledger is empty."""
    if first is None:
        empty(
            "No requests yet",
            "Point a client at the proxy, `ANTHROPIC_BASE_URL=http://127.0.0.1:8082`, and send one request. "
            "Or look around first with made-up history: `claude-proxy demo load`.",
            icon="rocket_launch",
            key=key,
        )
    else:
        empty(
            "No requests in this range",
            f"The ledger has requests since {first}. Choose a longer range or take filters away.",
            icon="search_off",
            key=key,
        )

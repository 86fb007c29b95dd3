"""How many verdicts were compared: a proof that is silent about its size proves little."""

from collections import Counter

compared: Counter[str] = Counter()
"""By judge; under "wrong" those of them that were."""


def told() -> str:
    """All of it in a line; "" before anything was compared."""
    judges = {judge: count for judge, count in compared.items() if judge != "wrong"}
    by = ", ".join(f"{count:,} of {judge}" for judge, count in judges.items())
    wrong = f"{compared['wrong']:,} wrong"
    return f"inner filter: {sum(judges.values()):,} verdicts compared ({by}), {wrong}" if judges else ""

"""What to write instead: the next step for a person whose filter was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tapwright.filter.expression import Kind, Token
from tapwright.filter.vms import Resolve, is_vm, quoting
from tapwright.filter.words import KEYWORDS, is_address, is_name, near

_REASONS = {
    "netmask not known": "use the address itself (`dst host 10.0.0.255`), or `ether broadcast`",
    "only on": "a VM's frames are Ethernet",
    "not supported for": "a VM's frames are Ethernet",
    "modifier applied to": "put `and` between them, or leave one out",
    "non-network bits": "name the network (`net 10.0.0.0/8`) or the one machine (`host 10.1.2.3`)",
    "'gateway' not supported": "name its MAC address: ether host MAC and not host IP",
    "data size": "so many bytes can be read at once: tcp[2:2] = 80",
    "unknown port": "use its number",
    "unknown host": "use its address, or `vm NAME` for a VM",
    "unknown ether host": "use its MAC address, or `vm NAME` for a VM",
}
"""A part of libpcap's words -> the next step."""


def advice(tokens: Sequence[Token], wrong: int, resolve: Resolve | None, fits: Callable[..., bool]) -> str:
    """For a word that cannot stand where it does; `fits` tells whether other words could, with what follows."""
    name_goes_on = quoting(tokens, wrong - 1, resolve) if wrong and tokens[wrong - 1].kind is Kind.VM else ""
    return name_goes_on or _advice(tokens, wrong, resolve, fits)


def _advice(tokens: Sequence[Token], wrong: int, resolve: Resolve | None, fits: Callable[..., bool]) -> str:
    token = tokens[wrong]
    before = tokens[wrong - 1].text if wrong else ""
    if token.text == "vm":
        return f"`vm` is a primitive of its own: {before} and vm NAME"
    if before == "proto" and token.text in KEYWORDS:
        return f"`{token.text}` is a keyword: write \\{token.text} for the protocol's name"
    if token.kind is Kind.WORD and token.text not in KEYWORDS and not is_address(token.text):
        return _about_word(token.text, resolve, fits)
    if wrong and fits("and", token.pcap):
        return "put `and` or `or` in front of it"
    if is_address(token.text) and not before.isalnum():
        return f"write `port {token.text}`" if token.text.isdecimal() else f"write `host {token.text}`"
    return ""


def _about_word(word: str, resolve: Resolve | None, fits: Callable[..., bool]) -> str:
    if is_name(word) and is_vm(word, resolve):
        return f"there is a VM of that name: write `vm {word}`"
    meant = next((candidate for candidate in near(word) if fits(candidate)), "")
    return f"did you mean `{meant}`?" if meant else "see man pcap-filter for the words of the language"


def semantic_advice(why: str, token: Token, resolve: Resolve | None) -> str:
    """For a filter that reads well and means nothing, by libpcap's own reason."""
    if "unknown" in why and is_vm(token.text, resolve):
        return f"there is a VM of that name: write `vm {token.text}`"
    return next((step for words, step in _REASONS.items() if words in why), "")

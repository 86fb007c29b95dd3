"""Random filters from a seed: and, or, not over primitives of every kind, short and very long."""

import random

HOSTS = [f"10.0.0.{n}" for n in range(1, 6)] + ["192.168.7.9", "224.0.0.5"]
PORTS = [22, 53, 80, 443, 5432, 8080, 40000]
FIELDS = [
    "ip[8]",
    "ip[1]",
    "ip[2:2]",
    "ip[6]",
    "tcp[13]",
    "udp[4:2]",
    "ether[0]",
    "ip6[6]",
    "icmp[0]",
    "len",
    "tcp[12:1]",
]
PRIMITIVES = [
    "tcp",
    "udp",
    "ip",
    "ip6",
    "arp",
    "icmp",
    "ether multicast",
    "ether host 02:00:00:00:00:01",
    "ip6 host fe80::2",
    "less 90",
    "greater 120",
    "ether src 02:00:00:00:00:02",
]


def random_filter(rng: random.Random, size: int) -> str:
    """About `size` primitives."""
    if size <= 1:
        return _primitive(rng)
    left = rng.randrange(1, size)
    word = rng.choice(["and", "or", "or"])
    text = f"({random_filter(rng, left)} {word} {random_filter(rng, size - left)})"
    return f"not {text}" if rng.random() < 0.15 else text


def host_list(rng: random.Random, size: int) -> str:
    """What people paste: hundreds of addresses, and a condition behind them, so that the jumps are long."""
    hosts = " or ".join(f"host 10.0.{rng.randrange(3)}.{rng.randrange(256)}" for _ in range(size))
    return f"({hosts}) and {random_filter(rng, 4)} or {random_filter(rng, 3)}"


def _primitive(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return f"{rng.choice(['', 'src ', 'dst '])}host {rng.choice(HOSTS)}"
    if kind == 1:
        return f"{rng.choice(['', 'src ', 'dst ', 'tcp ', 'udp '])}port {rng.choice(PORTS)}"
    if kind == 2:
        return f"{_arithmetic(rng, 2)} {rng.choice(['=', '!=', '<', '>='])} {_arithmetic(rng, 1)}"
    if kind == 3:
        return (
            f"ip[{_field(rng)} {rng.choice(['-', '&', '>>'])} {rng.randrange(1, 32)}] & {rng.choice([1, 3, 240])} != 0"
        )
    return rng.choice(PRIMITIVES)


def _arithmetic(rng: random.Random, depth: int) -> str:
    if not depth or rng.random() < 0.3:
        return rng.choice([_field(rng), str(rng.choice([0, 1, 4, 20, 64, 1000]))])
    operator = rng.choice(["+", "-", "*", "/", "&", "|", "<<", ">>"])
    right = str(rng.choice([1, 2, 3, 7, 31])) if operator in ("<<", ">>", "/") and rng.random() < 0.7 else _field(rng)
    return f"({_arithmetic(rng, depth - 1)} {operator} {right})"


def _field(rng: random.Random) -> str:
    return rng.choice(FIELDS)

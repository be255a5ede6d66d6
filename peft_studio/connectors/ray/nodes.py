"""What a cluster's nodes have, and the places on them as offers. A place is what one job asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from peft_studio.connectors.base.reading import count, record, records, text
from peft_studio.connectors.ray import INFO
from peft_studio.core.errors import Refused
from peft_studio.core.ports.offers import Offer, OfferQuery, Stock

MIB, GIB = 2**20, 2**30
KIND = "accelerator_type:"
STOCKS = (Stock.UNKNOWN, Stock.LOW, Stock.MEDIUM)  # by how many are free; more than that is HIGH
INCLUDES = "your own cluster; what its nodes cost is not known here"


@dataclass(frozen=True, slots=True)
class Node:
    """A living one. ``resource``: what Ray calls its kind of card, as a resource that a job may ask for; empty where it says none."""

    id: str
    cpus: int
    gpus: int
    free_cpus: float
    free_gpus: float
    memory_gib: float | None
    gpu: str | None = None
    gpu_memory_gib: float | None = None
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job asks for, as an offer's id holds it."""

    gpus: int
    cpus: int
    resource: str = ""
    machines: int = 1

    @property
    def id(self) -> str:
        """What :func:`read_offer` reads again."""
        return f"{self.machines}|{self.gpus}|{self.cpus}|{self.resource}"


def read_offer(offer: str) -> Ask:
    """What a job of this offer asks for.

    Raises:
        Refused: It is no offer of a cluster.
    """
    found = re.fullmatch(r"([1-9]\d{0,3})\|(\d{1,4})\|(\d{1,5})\|([\w:.\- ]*)", offer)
    if found is None:
        raise Refused(
            f"{offer!r} is no offer of a Ray cluster.", hint="Take one from studio.offers().", platform=INFO.name
        )
    return Ask(int(found[2]), int(found[3]), found[4], int(found[1]))


def read_nodes(summary: Iterable[Any], usage: Mapping[str, Any]) -> list[Node]:
    """Living nodes; of one whose use is not told nothing is free."""
    found = []
    for one in records(list(summary)):
        raylet = record(one, "raylet")
        name, has = text(raylet, "nodeId"), record(raylet, "resourcesTotal")
        if name is None or text(raylet, "state") != "ALIVE":
            continue
        taken = record(usage, name)
        cards = list(records(one.get("gpus")))
        resource = next((key for key in has if key.startswith(KIND)), "")
        memory = [count(card, "memoryTotal") for card in cards]
        found.append(Node(
            id=name, cpus=int(_number(has.get("CPU"))), gpus=int(_number(has.get("GPU"))),
            free_cpus=_free(taken, "CPU"), free_gpus=_free(taken, "GPU"),
            memory_gib=_number(has.get("memory")) / GIB or None, gpu=_name(cards, resource),
            gpu_memory_gib=round(min(filter(None, memory)) * MIB / GIB, 1) if any(memory) else None, resource=resource,
        ))  # fmt: skip
    return found


def build_offers(nodes: Iterable[Node], query: OfferQuery, *, seen_at: datetime) -> tuple[Offer, ...]:
    """One offer a kind of card that has so many on one node; and one of nodes without, each job on a whole one. Where several machines are
    asked for, they are so many nodes of one kind.
    """
    nodes, count = list(nodes), query.gpu_count
    by_kind = sorted((node for node in nodes if node.gpus >= count), key=_kind)
    groups = [(list(group), count) for _, group in groupby(by_kind, key=_kind)]
    groups += [([node for node in nodes if not node.gpus and node.cpus], 0)]
    offers = (_offer(group, gpus, query.machines, seen_at) for group, gpus in groups if len(group) >= query.machines)
    return tuple(offers)


def _kind(node: Node) -> tuple[str, str]:
    return node.gpu or "", node.resource


def _offer(group: list[Node], gpus: int, machines: int, seen_at: datetime) -> Offer:
    """A job takes its share of the CPUs, so that as many run as there are cards."""
    cpus = max(1, min(node.cpus // node.gpus for node in group) * gpus) if gpus else min(node.cpus for node in group)
    each = [node.gpus // gpus if gpus else node.cpus // cpus for node in group]
    frees = [int(min(node.free_cpus // cpus, node.free_gpus // gpus if gpus else math.inf)) for node in group]
    if machines > 1:  # one place a node
        each, frees = [len(group) // machines], [sum(map(bool, frees)) // machines]
    places, free, first = sum(each), sum(frees), group[0]
    what = f"places of {gpus} GPUs" if gpus > 1 else "GPUs" if gpus else "CPU nodes"
    what = f"places of {machines} nodes" if machines > 1 else what
    memory = [node.memory_gib for node in group if node.memory_gib]
    return Offer(
        id=Ask(gpus, cpus, first.resource if gpus else "", machines).id, provider=INFO.name, gpu=(first.gpu or "GPU") if gpus else None,
        gpu_count=gpus, gpu_memory_gib=first.gpu_memory_gib if gpus else None, cpus=cpus, machines=machines,
        memory_gib=round(min(memory), 1) if memory and not gpus else None, usd_per_hour=Decimal(0), includes=INCLUDES,
        region=f"{free} of {places} {what} free", stock=STOCKS[free] if free < len(STOCKS) else Stock.HIGH,
        ends_itself=True, queues=True, seen_at=seen_at,
    )  # fmt: skip


def _name(cards: list[Mapping[str, Any]], resource: str) -> str | None:
    """As the driver says; else as Ray does: ``A100-80G``."""
    said = next((name for card in cards if (name := text(card, "name"))), None)
    kind = resource.removeprefix(KIND)
    return said or (re.sub(r"(\d+)G$", r"\1GB", kind) if kind else None)


def _number(found: Any) -> float:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else 0.0


def _free(taken: Mapping[str, Any], name: str) -> float:
    pair = taken.get(name)
    numbers = list(_numbers(pair)) if isinstance(pair, list) else []
    return max(0.0, numbers[1] - numbers[0]) if len(numbers) == 2 else 0.0


def _numbers(pair: list[Any]) -> Iterator[float]:
    yield from map(_number, pair)

"""What a cluster's nodes have, and the places on them as offers. A place is what one job asks for."""

from __future__ import annotations

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
from peft_studio.core.ports.offers import Offer, Stock

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

    @property
    def id(self) -> str:
        """What :func:`read_offer` reads again."""
        return f"{self.gpus}|{self.cpus}|{self.resource}"


def read_offer(offer: str) -> Ask:
    """What a job of this offer asks for.

    Raises:
        Refused: It is no offer of a cluster.
    """
    found = re.fullmatch(r"(\d{1,4})\|(\d{1,5})\|([\w:.\- ]*)", offer)
    if found is None:
        raise Refused(
            f"{offer!r} is no offer of a Ray cluster.", hint="Take one from studio.offers().", platform=INFO.name
        )
    return Ask(int(found[1]), int(found[2]), found[3])


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


def build_offers(nodes: Iterable[Node], *, gpu_count: int, seen_at: datetime) -> tuple[Offer, ...]:
    """One offer a kind of card that has so many on one node; and one of nodes without, each job on a whole one."""
    with_cards = [node for node in nodes if node.gpus >= gpu_count]
    without = [node for node in nodes if not node.gpus and node.cpus]
    found = []
    by_kind = sorted(with_cards, key=lambda node: (node.gpu or "", node.resource))
    for _, group in groupby(by_kind, key=lambda node: (node.gpu or "", node.resource)):
        found.append(_with_gpus(list(group), gpu_count, seen_at))
    if without:
        cpus = min(node.cpus for node in without)
        places, free = sum(node.cpus // cpus for node in without), sum(int(node.free_cpus // cpus) for node in without)
        memory = [node.memory_gib for node in without if node.memory_gib]
        found.append(_offer(
            Ask(0, cpus), "CPU nodes", places=places, free=free, seen_at=seen_at, gpu=None, gpu_memory_gib=None,
            memory_gib=round(min(memory), 1) if memory else None,
        ))  # fmt: skip
    return tuple(found)


def _with_gpus(group: list[Node], gpu_count: int, seen_at: datetime) -> Offer:
    """A job takes its share of the CPUs, too, so that as many run as there are cards."""
    cpus = max(1, min(node.cpus // node.gpus for node in group) * gpu_count)
    places = sum(node.gpus // gpu_count for node in group)
    free = sum(int(min(node.free_gpus // gpu_count, node.free_cpus // cpus)) for node in group)
    first = group[0]
    return _offer(
        Ask(gpu_count, cpus, first.resource), "GPUs" if gpu_count == 1 else f"× {gpu_count} GPUs", places=places, free=free,
        seen_at=seen_at, gpu=first.gpu or "GPU", gpu_memory_gib=first.gpu_memory_gib, memory_gib=None,
    )  # fmt: skip


def _offer(ask: Ask, what: str, *, places: int, free: int, seen_at: datetime, **more: Any) -> Offer:
    return Offer(
        id=ask.id, provider=INFO.name, gpu_count=ask.gpus, cpus=ask.cpus, usd_per_hour=Decimal(0), includes=INCLUDES,
        region=f"{free} of {places} {what} free", stock=STOCKS[free] if free < len(STOCKS) else Stock.HIGH,
        ends_itself=True, queues=True, seen_at=seen_at, **more,
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

"""Connectors that do everything wrong, one thing each; and one that does everything right."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from peft_studio.connectors.catalog.sources import Source
from peft_studio.core.errors import ConnectorError, NotAuthorised
from peft_studio.core.ports import (
    Account,
    Capability,
    ConnectorInfo,
    KeyField,
    ModelDetails,
    Page,
    Query,
    RegistryModel,
    Role,
)

HERE = "tests.unit.connectors.catalog.hostile"
OVER = threading.Event()  # lets those go that wait in C, when the tests are done
NO = {Capability.DOWNLOAD: "It has nothing to give.", Capability.PUBLISH: "It takes nothing at all."}
MODEL = RegistryModel(id="a/b", registry="good")


def make_info(name: str, **changes: Any) -> ConnectorInfo:
    given = {
        "name": name, "title": name, "summary": "For tests.", "roles": (Role.REGISTRY,), "connector": f"{HERE}:c_{name.replace('-', '_')}",
        "docs_url": "https://example.org/keys", "keys": (KeyField(name="token", title="Token"),),
    }  # fmt: skip
    return ConnectorInfo(**{**given, **changes})


class Good:
    info = make_info("good", connector=f"{HERE}:Good")
    unsupported = NO

    def __init__(self, keys: Any) -> None:
        self.keys = keys

    def connect(self) -> Account:
        return Account(name="me")

    def search(self, query: Query) -> Page:
        return Page(models=(MODEL,))

    def get_model(self, model: str) -> ModelDetails:
        return ModelDetails(model=MODEL)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


class Unmade(ConnectorError):
    def __init__(self) -> None:
        """Leaves out what its base does."""


def raises(exc: BaseException | type[BaseException]) -> Callable[..., Any]:
    def verb(*given: Any) -> Any:
        raise exc

    return verb


def gives(value: Any) -> Callable[..., Any]:
    return lambda *given: value() if callable(value) else value


def loop(*given: Any) -> Any:
    while True:
        pass


def stubborn_loop(*given: Any) -> Any:
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


def print_loop(*given: Any) -> Any:
    while True:
        print("flood", file=_Nowhere())


def recurse(*given: Any) -> Any:
    return recurse(*given)


def wait_in_c(*given: Any) -> Any:
    OVER.wait()


def log_in(*given: Any) -> Any:
    raise NotAuthorised("planted-key is wrong", hint="planted-key")


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)


def endless() -> Iterator[RegistryModel]:
    return itertools.repeat(MODEL)


def huge_text() -> Page:
    return Page.model_construct(models=(RegistryModel.model_construct(id="x" * 10_000_000, registry="good"),))


SEARCHES: dict[str, Callable[..., Any]] = {
    "raises": raises(ValueError("no")), "raises-base": raises(BaseException("no")), "exits": raises(SystemExit(1)),
    "interrupts": raises(KeyboardInterrupt), "unprintable": raises(Unprintable()), "unmade": raises(Unmade),
    "stop-iteration": raises(StopIteration), "memory": raises(MemoryError), "generator-exit": raises(GeneratorExit),
    "assertion": raises(AssertionError("planted-key")), "os-error": raises(OSError(5, "planted-key")),
    "loops": loop, "loops-stubbornly": stubborn_loop, "prints": print_loop, "recurses": recurse, "waits": wait_in_c,
    "gives-none": gives(None), "gives-text": gives("page"), "gives-dict": gives({"models": []}), "gives-list": gives([MODEL]),
    "gives-endless": gives(endless), "gives-class": gives(Page), "gives-details": gives(ModelDetails(model=MODEL)),
    "page-of-none": gives(Page.model_construct(models=(None,))), "page-of-text": gives(Page.model_construct(models="abc")),
    "page-endless": gives(lambda: Page.model_construct(models=endless())), "page-too-long": gives(Page.model_construct(models=(MODEL,) * 101)),
    "page-wrong-number": gives(Page.model_construct(models=(RegistryModel.model_construct(id="a", registry="b", downloads=-1),))),
    "page-wrong-url": gives(Page.model_construct(models=(RegistryModel.model_construct(id="a", registry="b", url="javascript:1"),))),
    "page-no-id": gives(Page.model_construct(models=(RegistryModel.model_construct(registry="b"),))),
    "page-huge": gives(huge_text), "page-empty-shell": gives(Page.model_construct()), "typed-error": log_in,
}  # fmt: skip


def _make(name: str, verb: Callable[..., Any]) -> type:
    return type(
        name.replace("-", "_"),
        (Good,),
        {"info": make_info(name), "search": lambda self, query: verb()},
    )


CLASSES = {name: _make(name, verb) for name, verb in SEARCHES.items()}
CLASSES["init-raises"] = type(
    "X", (Good,), {"info": make_info("init-raises"), "__init__": lambda self, keys: raises(ValueError("no"))()}
)
CLASSES["init-waits"] = type(
    "X", (Good,), {"info": make_info("init-waits"), "__init__": lambda self, keys: wait_in_c()}
)
CLASSES["init-exits"] = type(
    "X", (Good,), {"info": make_info("init-exits"), "__init__": lambda self, keys: sys.exit(3)}
)
for _name, _cls in CLASSES.items():
    setattr(sys.modules[__name__], "c_" + _name.replace("-", "_"), _cls)


def _exit_on_load() -> object:
    raise SystemExit


UNLOADABLE: dict[str, Callable[[], object]] = {
    "load-raises": raises(ImportError("no such module")), "load-exits": _exit_on_load, "load-waits": wait_in_c, "load-loops": loop,
    "load-none": gives(None), "load-dict": lambda: {"name": "load-dict"}, "load-class": lambda: Good,
    "load-other-name": lambda: make_info("another"),
}  # fmt: skip


def sources() -> list[Source]:
    """All of them, and the good one in their midst."""
    sound = [Source(name, "hostile", lambda cls=cls: cls.info) for name, cls in CLASSES.items()]
    return [*sound[:20], Source("good", "good", lambda: Good.info), *sound[20:], *unloadable()]


def unloadable() -> list[Source]:
    """Those that cannot even say who they are."""
    return [Source(name, "hostile", load) for name, load in UNLOADABLE.items()]

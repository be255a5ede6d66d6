"""The Models panel: one search over this machine and every registry, whether a model fits here, its details, and its choice.

Nothing is sent before somebody searches. Registries answer as they come; one that is slow is waited for by nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from peft_studio.core.errors import ModelError, StudioError, nearest
from peft_studio.core.models.catalog import find_embedded
from peft_studio.core.models.prepared import find_prepared, is_hub_id, list_known
from peft_studio.core.ports.platform import Role
from peft_studio.core.ports.registry import ModelDetails, Query, RegistryModel
from peft_studio.core.services.model_fit import HERE, Machine, ModelFit, find_machine, find_reason, fit_model
from peft_studio.core.services.model_order import Order, build_query, merge_models, sort_models
from peft_studio.core.services.registry_search import Answer, RegistrySearch, fetch_details_or_known
from peft_studio.widgets._code import opening
from peft_studio.widgets._content import Content, command
from peft_studio.widgets._host import Host
from peft_studio.widgets._looker import Looker
from peft_studio.widgets._models_found import describe_here, matches
from peft_studio.widgets._models_sale import Sales
from peft_studio.widgets._models_view import build_snapshot, view_answer, view_details, view_row
from peft_studio.widgets._text import plain

_RESTLESS_S, _QUIET_S = 0.15, 1.0
_AGAIN_S, _SOON_S = 5.0, 0.5  # between looks at registries and at what is on sale; while providers are asked
LIMIT = 50  # of each registry


class ModelsContent(Content):
    """What a search has brought so far."""

    module = "models"
    interval_s = _QUIET_S

    def __init__(self, studio: Host) -> None:
        self._studio = studio
        self._lock = threading.RLock()
        self._asked = Query(limit=LIMIT)
        self._order: Order = "downloads"
        self._wanted: tuple[str, ...] = ()  # registries asked for by name; else those that are ready
        self._search: RegistrySearch | None = None
        self._machine: Machine = find_machine()
        self._fits: dict[tuple[str, str], ModelFit] = {}  # by details, of now or of before
        self._known: set[tuple[str, str]] = set()  # whose kept details were looked for
        self._own: dict[str, RegistryModel] = {}  # of this machine, by name
        self._details: dict[str, Any] | None = None
        self._numbers = count(1)
        self._newest = 0  # number of the details asked for last
        self._shown: ModelDetails | None = None  # behind ``_details``
        self._titles: dict[str, str] = {}  # of registries, by name
        self._sales = Sales(studio)
        self._looker = Looker(self._look, name="models")  # a stranger's package may take seconds to say who it is
        self._looked_at = time.monotonic()

    def __repr__(self) -> str:
        return f"ModelsPanel({self._asked.text!r})" if self._asked.text else "ModelsPanel()"

    def sections(self) -> dict[str, Any]:
        """What was asked, how each registry stands, and all results by now."""
        with self._lock:
            search, details, shown = self._search, self._details, self._shown
        answers = search.answers() if search else []
        busy = details is not None and details["state"] == "busy"
        self.interval_s = _RESTLESS_S if busy or (search and not search.is_over) else _QUIET_S
        infos = self._titles
        pause_s = _SOON_S if self._sales.is_asking else _AGAIN_S
        if self._looker.again(due=time.monotonic() - self._looked_at > pause_s):
            self._looked_at = time.monotonic()
        offline = self._studio.offline
        return {
            "asked": {"text": self._asked.text, "registries": list(self._wanted), "task": self._asked.task or "", "sort": self._order},
            "registries": [{"name": name, "title": plain(title, limit=200)} for name, title in infos.items()],
            "parts": [view_answer(answer, infos.get(answer.registry, answer.registry)) for answer in answers],
            "rows": self._rows(answers),
            "searched": search is not None,
            "machine": {"name": self._machine.name, "free_bytes": self._machine.free_bytes},
            "offline": offline if isinstance(offline, str) else "" if offline is False else "set by hand",
            "chosen": self._studio.session.now.model,
            "details": {**details, "sale": self._sales.view(shown.model)} if details and shown else details,
            "code": self._code(),
        }  # fmt: skip

    def _look(self) -> None:
        self._titles = {info.name: info.title for info in self._studio._catalog.list_infos(Role.REGISTRY)}
        self._sales.look(ask=bool(self._search or self._details))

    def close(self) -> None:
        """End the looking thread."""
        self._looker.close()

    def snapshot_html(self) -> str:
        """The results as they are."""
        view = self.sections()
        places = ", ".join(
            f"{part['title']}: {part['as_of'] or part['why_not'] or part['count']}" for part in view["parts"]
        )
        return build_snapshot(view["rows"], view["asked"]["text"], places or "On this machine, without a network")

    @command
    def search(
        self, text: str = "", registries: Sequence[str] = (), task: str = "text-generation", sort: Order = "downloads"
    ) -> None:
        """Ask all registries, or those named. Returns at once; answers come as they come."""
        known = [info.name for info in self._studio._catalog.list_infos(Role.REGISTRY)]
        for name in registries:
            if name not in known:
                raise StudioError(f"There is no registry {name!r}.", hint=nearest(name, known))
        try:
            query = build_query(text=text.strip(), task=task or None, order=sort, limit=LIMIT)
        except StudioError as exc:
            raise StudioError("That cannot be searched for.", hint="Use at most 200 characters.") from exc
        connections, catalog = self._studio._connections, self._studio._catalog
        names = list(registries) or [name for name in known if name in connections.list_ready(Role.REGISTRY)]
        found = RegistrySearch(catalog, names, query, kept=self._studio._kept, make_ready=connections.make_ready)
        machine = find_machine()
        with self._lock:
            self._asked, self._wanted, self._search, self._machine = query, tuple(registries), found, machine
            self._order, self._looked_at = sort, float("-inf")
            self._fits.clear()
            self._known.clear()
            self._own.clear()

    @command
    def more(self) -> None:
        """The next page of each registry that has one. Returns at once."""
        if self._search:
            self._search.more()

    @command
    def order(self, sort: Order = "downloads") -> None:
        """Order what is there by size, by parameters, or as it came. Asks nobody; what only registries can sort is a search."""
        with self._lock:
            if build_query(text="", task=None, order=sort, limit=LIMIT).sort != self._asked.sort:
                raise StudioError("Only registries can sort so.", hint="Search again in that order.")
            self._order = sort

    @command
    def details(self, registry: str, model: str) -> None:
        """Fetch all of one model and show it; what was clicked last counts."""
        with self._lock:
            number = self._newest = next(self._numbers)
            self._details = {"state": "busy", "registry": registry, "id": plain(model, limit=300), "problem": None}
            self._shown, self._looked_at = None, float("-inf")
        found = None
        try:
            found, shown = self._fetch(registry, model)
        except StudioError as exc:
            problem = {"message": plain(exc.message), "hint": plain(exc.hint)}
            shown = {"state": "failed", "registry": registry, "id": plain(model, limit=300), "problem": problem}
        with self._lock:
            if number == self._newest:
                self._details, self._shown = shown, found

    @command
    def close_details(self) -> None:
        """Back to the results."""
        with self._lock:
            self._details, self._shown, self._newest = None, None, next(self._numbers)

    @command
    def use(self, registry: str, model: str) -> None:
        """Train this one next: the session's model."""
        if not (
            find_embedded(model)
            or find_prepared(model, self._studio.home)
            or (registry == "huggingface" and is_hub_id(model))
        ):
            raise ModelError(
                f"{plain(model, limit=200)} cannot be trained here.",
                hint="Choose a model of the hub, or one on this machine.",
            )
        self._studio.session.choose(model=model)

    @command
    def go_on(self) -> None:
        """To the data that it is to learn."""
        self._studio.session.choose(panel="data")

    def _rows(self, answers: Sequence[Answer]) -> list[dict[str, Any]]:
        here = list_known(self._studio.home)
        found = merge_models([answer.models for answer in answers], self._order)
        listed = {model.id for model in found if model.registry == "huggingface"}
        own = [model for name in here if name not in listed and matches(model := self._here(name), self._asked.text)]
        rows = [*own, *found]
        if self._order in ("size", "parameters"):
            rows = sort_models(rows, self._order)
        at, fit, sale = self._machine, self._fit, self._sales.fit
        return [view_row(model, at, here=here, known=fit(model), sale=sale(model)) for model in rows]

    def _fit(self, model: RegistryModel) -> ModelFit | None:
        """By its details, where they were had at any time; these are looked for once a search."""
        key = (model.registry, model.id)
        if key not in self._known and model.registry != HERE and not find_reason(model):
            self._known.add(key)
            if (kept := self._studio._kept.find_details(*key)) and kept[0].config:
                self._judge(model, kept[0].config)
        return self._fits.get(key)

    def _here(self, name: str) -> RegistryModel:
        """A model of this machine as a result: of a package, or prepared. What its folder says is read once."""
        if name not in self._own:
            model, config = describe_here(name, self._studio.home)
            self._own[name] = model
            self._judge(model, config)
        return self._own[name]

    def _judge(self, model: RegistryModel, config: Mapping[str, Any] | None) -> None:
        self._fits[(model.registry, model.id)] = fit_model(model, config, self._machine)
        if config:
            self._sales.learn(model, config)

    def _fetch(self, registry: str, model: str) -> tuple[ModelDetails, dict[str, Any]]:
        here, as_of = list_known(self._studio.home), ""
        if registry == HERE:
            own, config = describe_here(model, self._studio.home)
            found = ModelDetails(model=own, config=config)
        else:
            make_ready = self._studio._connections.make_ready
            found, as_of = fetch_details_or_known(
                self._studio._catalog, registry, model, kept=self._studio._kept, make_ready=make_ready
            )
        if found.config:
            self._judge(found.model, found.config)
        view = view_details(found, self._machine, as_of=as_of, here=here, sale=self._sales.fit(found.model))
        return found, {"state": "ready", "problem": None, **view}

    def _code(self) -> str:
        asked = self._asked
        given = [repr(asked.text)] if asked.text else []
        given += [f"registries={list(self._wanted)!r}"] if self._wanted else []
        given += [f"task={asked.task!r}"] if asked.task != "text-generation" else []
        given += [f"sort={self._order!r}"] if self._order != "downloads" else []
        lines = [f"studio.models({', '.join([*given, f'limit={LIMIT}'])})"]
        if self._details and self._details["registry"] != HERE:
            lines.append(f"studio.model_details({self._details['id']!r}, {self._details['registry']!r})")
        if model := self._studio.session.now.model:
            lines.append(f"studio.session.choose(model={model!r})")
        return opening(self._studio.home) + "\n".join(lines)

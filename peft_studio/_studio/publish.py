"""The part of the studio that publishes: what would be shared, the push itself, and whether it would be let in."""

from __future__ import annotations

import dataclasses
from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from peft_studio._studio.home import tell
from peft_studio._studio.spending import Spending
from peft_studio.core.errors import StudioError, nearest

if TYPE_CHECKING:
    from peft_studio.core.defaults import ExplainedSpec
    from peft_studio.core.offline.entry import Entry
    from peft_studio.core.offline.sender import Sender
    from peft_studio.core.runs.adapter import Adapter
    from peft_studio.core.services.check import Check
    from peft_studio.core.services.publish.plan import PushPlan
    from peft_studio.core.services.publish.push import Pushed, Report, Way
    from peft_studio.core.services.run import Run

OPTIONS: Mapping[str, tuple[str, ...]] = {"ollama": ("from_model", "prompts")}  # what a platform takes besides


class Publishing(Spending, ABC):
    """Adapters on their way to others."""

    @overload
    def push(
        self, adapter: Adapter | Run | str, to: str, repo: str, *, confirm: Literal[False] = False, private: bool = True,
        base: str | None = None, progress: Report | None = None, **options: Any,
    ) -> PushPlan: ...  # fmt: skip
    @overload
    def push(
        self, adapter: Adapter | Run | str, to: str, repo: str, *, confirm: bool, private: bool = True,
        base: str | None = None, progress: Report | None = None, **options: Any,
    ) -> PushPlan | Pushed: ...  # fmt: skip
    def push(
        self,
        adapter: Adapter | Run | str,
        to: str,
        repo: str,
        *,
        confirm: bool = False,
        private: bool = True,
        base: str | None = None,
        progress: Report | None = None,
        **options: Any,
    ) -> PushPlan | Pushed:
        """Show what would be shared of a run's adapter, and with ``confirm=True`` share it.

        Without a network it waits in the outbox and goes when that is back. The same call again changes nothing that is there already.

        Args:
            adapter: ``run.adapter``, a run, or a run's id.
            to: A platform of ``studio.connections()``.
            repo: Where to: ``owner/name`` on Hugging Face, a model's name for Ollama.
            confirm: Do it. Otherwise the plan comes back, and nothing has happened anywhere.
            private: Only you see it, until you say otherwise there. False publishes it for everybody.
            base: The base model's hub id, where the run only knows a folder.
            progress: Called with the bytes that have arrived.
            options: What a platform takes besides. Ollama: ``from_model``, the base by its name there, and ``prompts`` to compare
                its answers on with the adapter's own before it is kept; else those the run was watched with, ``[]`` for none.

        Raises:
            NotReadyError: Something blocks the plan, such as a key in a file. ConnectorError: The platform did not take it.
        """
        from peft_studio.core.services.publish.push import push_plan

        run = self._run_of(adapter)
        plan, promise = self._plan_push(run, to, repo, private=private, base=base, **options)

        def do(confirmed: PushPlan) -> Pushed:
            return push_plan(promise(confirmed), self._way(), report=progress or (lambda sent: None))

        plan = dataclasses.replace(plan, do=do)
        return plan.confirm() if confirm else plan

    def publications(self) -> list[dict[str, Any]]:
        """Who published what, where and when: the record of this home, oldest first."""
        from peft_studio.core.services.publish.record import Publications

        return Publications(self.home).read()

    def check(self, spec: ExplainedSpec, *, push: str | None = None) -> Check:
        """Whether a spec is ready to launch here, and every problem with its fix.

        Args:
            push: Where its adapter is to go afterwards, as ``"huggingface:me/x"``: whether that would be let in is asked now.
        """
        from peft_studio.core.services.check import add_problems
        from peft_studio.core.services.publish.permission import check_push

        found = super().check(spec)
        if push is None:
            return found
        return add_problems(found, check_push(push, self._catalog, self._connections.make_ready, offline=self.offline))

    def _plan_push(
        self, run: Run, to: str, repo: str, *, private: bool, base: str | None, **options: Any
    ) -> tuple[PushPlan, Callable[[PushPlan], PushPlan]]:
        """A plan, and what is still to be worked out once it is confirmed."""
        from peft_studio.core.services.publish.build import build_plan

        info = self._catalog.get_info(to)
        takes = OPTIONS.get(to, ())
        if wrong := [name for name in options if name not in takes]:
            hint = nearest(wrong[0], takes) if takes else "See help(studio.push)."
            raise StudioError(f"{info.title} takes no {wrong[0]!r}.", hint=hint, fields=tuple(wrong))
        if to == "ollama":
            return self._plan_ollama(run, repo, base=base, **options)
        return build_plan(run, info, repo, private=private, base=base), lambda plan: plan

    def _plan_ollama(
        self, run: Run, repo: str, *, base: str | None, from_model: str = "", prompts: Sequence[str] | None = None
    ) -> tuple[PushPlan, Callable[[PushPlan], PushPlan]]:
        from peft_studio.connectors.ollama.package import build_merged, build_package, find_reason_to_merge
        from peft_studio.core.models import read_config
        from peft_studio.core.services.publish import parity
        from peft_studio.core.services.publish.build import build_plan
        from peft_studio.core.services.publish.contents import collect_adapter
        from peft_studio.core.services.publish.facts import read_facts
        from peft_studio.core.services.publish.merged import ensure_merged

        facts, adapter = read_facts(run, base=base), run.adapter
        folder, shared = self.prepare(run.spec.model), collect_adapter(adapter, facts, repo)
        config = read_config(folder)
        reason = find_reason_to_merge(adapter.path, config)
        if reason:
            tell(f"Merging the adapter into its base, since {reason}")
            merged = ensure_merged(folder, adapter, self.home, progress=tell)
            package = build_merged(merged, licence=facts.base_licence)
        else:
            package = build_package(
                adapter.path, shared, config, from_model=from_model, method=run.spec.method, licence=facts.base_licence
            )
        info = self._catalog.get_info("ollama")
        plan = build_plan(run, info, repo, base=base, files=package.files, settings=package.settings)
        asked = parity.find_prompts(run) if prompts is None else list(prompts)
        plan = dataclasses.replace(plan, problems=(*plan.problems, *parity.check_prompts(asked, merged=bool(reason))))

        def promise(confirmed: PushPlan) -> PushPlan:
            if not asked or not confirmed.ready:
                return confirmed
            with self.chat(run.spec.model, adapters={"it": adapter}) as chat:
                return parity.expect_answers(
                    confirmed, asked, lambda prompt, tokens: chat.ask(prompt, adapter="it", max_new_tokens=tokens).text
                )

        return plan, promise

    def _run_of(self, adapter: Adapter | Run | str) -> Run:
        from peft_studio.core.runs.adapter import Adapter

        if isinstance(adapter, str):
            return self.run(adapter)
        if not isinstance(adapter, Adapter):
            return adapter
        folder = adapter.path.resolve().parent
        if folder.parent != (self.home / "runs").resolve():
            raise StudioError(
                f"{adapter.path} is not the adapter of a run of this home.",
                hint="Its card is made from its run: open the home it was trained in, Studio(home=…).",
            )
        return self.run(folder.name)

    def _way(self) -> Way:
        from peft_studio.core.offline.entry import Receipt
        from peft_studio.core.services.publish.push import Way
        from peft_studio.core.services.publish.staged import drop_abandoned

        drop_abandoned(self.home, self._all_queued())

        def queue(target: str, kind: str, payload: Any, entry_id: str) -> None:
            found = self._queue(target, kind, payload, id=entry_id)
            if isinstance(found, Receipt):  # sent or dropped before; it looks before it repeats anything
                self._queue(target, kind, payload)
            elif found.state == "dead":
                self.outbox.retry(found.id)

        return Way(self.home, self._catalog, self._connections.make_ready, lambda: self.offline, queue)

    def _all_queued(self) -> Iterator[Entry]:
        """What is in the outbox, looked at only if somebody wants to know."""
        yield from self._outbox.entries()

    def _data_keys(self, purpose: str) -> Sequence[bytes]:
        return self.vault.data_keys(purpose)

    def _find_sender(self, target: str) -> Sender | None:
        from peft_studio.core.services.publish.sender import PushSender

        known = [info.name for info in self._catalog.list_infos()]
        if target.partition(":")[0] not in known:
            return None
        return PushSender(self.home, self._catalog, self._connections.make_ready)

    def _probes(self) -> Sequence[Callable[[], bool]]:
        return ()

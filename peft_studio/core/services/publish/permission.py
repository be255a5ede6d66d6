"""Whether a push that is meant to follow a run would be let in: asked before hours of training, not after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from peft_studio.core.errors import ConnectorError, StudioError
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.platform import Account, Connector
from peft_studio.core.services.check.problem import Problem, Severity

ASK_S = 20.0


class Ready(Protocol):
    """Sees to a platform's keys."""

    def __call__(self, name: str, /) -> None: ...


def split_target(push: str) -> tuple[str, str]:
    """``"huggingface:me/x"`` → platform and place.

    Raises:
        StudioError: It names no place.
    """
    to, _, repo = push.partition(":")
    if not to or not repo:
        raise StudioError(
            f"{push!r} names no place to push to.", hint='Such as push="huggingface:me/x".', fields=("push",)
        )
    return to, repo


def check_push(push: str, catalog: Catalog, make_ready: Ready, *, offline: bool | str = False) -> Iterator[Problem]:
    """Problems of a push that would follow. Asks the platform whose key it is; sends nothing else.

    Raises:
        StudioError: There is no such platform, or no place in ``push``.
    """
    to, repo = split_target(push)
    info = catalog.get_info(to)
    if info.by_hand:
        yield Problem(
            "push_by_hand",
            "info",
            f"{info.title} has no API that uploads a model.",
            "studio.push makes a folder and lists the steps.",
        )
        return
    if offline is not False and not info.local:
        text = f"Without a network nobody can say whether {info.title} would take {repo}."
        yield Problem("push_unknown", "warning", text, "Check again with a network, before a long run.")
        return
    try:
        make_ready(to)
        account = catalog.start(to, Account, _connect, deadline_s=ASK_S).result()
    except ConnectorError as exc:
        severity: Severity = "blocking" if exc.status in (401, 403) else "warning"
        yield Problem(
            "push_unknown", severity, f"Whether {info.title} would take {repo} is not known: {exc.message}", exc.hint
        )
        return
    except StudioError as exc:
        yield Problem("push_unknown", "blocking", f"{info.title} cannot be pushed to: {exc.message}", exc.hint)
        return
    yield from judge_account(account, info.title, repo, docs_url=info.docs_url, to=to)


def judge_account(account: Account, title: str, repo: str, *, docs_url: str, to: str) -> Iterator[Problem]:
    """What an account's rights say of a push to ``repo``."""
    mend = f"Make a key that may write at {docs_url}; then studio.connect({to!r})."
    if account.can_write is False:
        yield Problem(
            "push_forbidden",
            "blocking",
            f"{title} would refuse {repo}: {account.note or 'this key may not write.'}",
            mend,
        )
    elif account.can_write is None:
        yield Problem("push_unsure", "warning", f"{title} does not say whether this key may write {repo}.", mend)
    owner = repo.rpartition("/")[0]
    if account.kind == "user" and owner and owner != account.name:
        text = f"{repo} belongs to {owner}, and this key to {account.name}."
        yield Problem(
            "push_owner",
            "warning",
            text,
            f"Push to {account.name}/{repo.rpartition('/')[2]}, unless {owner} is an organisation of yours.",
        )


def _connect(connector: Connector) -> Account:
    return connector.connect()

"""Base models that the hub gives to some accounts alone, gated or private, on a rented machine: whether one is, and whether it would come.

The machine downloads for itself, on a better line than ours. Only for such a model it is given the hub's token, and only where that was asked
for before any money is spent.
"""

from __future__ import annotations

import os

from peft_studio.core.errors import Forbidden, NotAuthorised, NotFound, NotReadyError, StudioError
from peft_studio.core.models import find_embedded
from peft_studio.core.models.prepared import find_local, is_hub_id
from peft_studio.core.ports.catalog import Catalog
from peft_studio.core.ports.registry import ModelDetails
from peft_studio.core.runs.folder import RunFolder
from peft_studio.core.services.hub_needs import HUB
from peft_studio.core.services.registry_search import DETAILS_S

MARK = "needs-token"  # in a run's folder
TOKEN, ENDPOINT = "HF_TOKEN", "HF_ENDPOINT"  # what a machine is told: whose token, and of which hub


def comes_from_hub(model: str) -> bool:
    """Whether a machine gets a base model from the hub, and not from here."""
    return "/" in model and is_hub_id(model) and not find_embedded(model) and not find_local(model)


def find_endpoint() -> str | None:
    """The hub that is meant, where it is not the usual one: a token must go to no other."""
    return os.environ.get(ENDPOINT) or None


def mark_closed(folder: RunFolder) -> None:
    """Write down that a run's machines need the token, and of which hub it is: whoever follows it may have another one in its environment."""
    (folder.path / MARK).write_text(find_endpoint() or "", encoding="utf-8")


def is_closed(folder: RunFolder) -> bool:
    """Whether a run was marked so."""
    return (folder.path / MARK).exists()


def find_endpoint_of(folder: RunFolder) -> str | None:
    """The hub for which a run was marked, where it is not the usual one."""
    return (folder.path / MARK).read_text(encoding="utf-8") or None


def check_access(catalog: Catalog, model: str, *, has_token: bool) -> bool:
    """Whether a machine needs the token for a base model. Where the hub cannot be asked from here, nobody can say, and it gets none.

    Raises:
        NotReadyError: It is gated or private, and no token that opens it is kept here.
    """
    way = 'Accept its licence on its page with your account, then studio.connect("huggingface", token=…) with one that may read it.'
    try:
        found = _fetch(catalog, model)
    except (Forbidden, NotFound, NotAuthorised) as exc:
        said = f"A rented machine would not get {model}: {exc.message}"
        raise NotReadyError(said, hint=exc.hint or way, fields=("model",)) from exc
    except StudioError:
        return False
    closed = _why_closed(found)
    if closed and not has_token:
        raise NotReadyError(
            f"{model} is {closed}: a rented machine gets it with your token alone, and none is connected. Nothing was rented.",
            hint=f"{way} HF_TOKEN of the environment is not sent to machines of others.", fields=("model",),
        )  # fmt: skip
    if closed and found.config is None and any(file.path == "config.json" for file in found.files):
        raise NotReadyError(
            f"{model} is {closed}, and the account that is connected has not been let in. Nothing was rented.", hint=way, fields=("model",)
        )  # fmt: skip
    return bool(closed)


def _fetch(catalog: Catalog, model: str) -> ModelDetails:
    return catalog.start(HUB, ModelDetails, lambda hub: hub.get_model(model), deadline_s=DETAILS_S).result()


def _why_closed(found: ModelDetails) -> str:
    return "gated" if found.model.gated else "private" if found.model.private else ""

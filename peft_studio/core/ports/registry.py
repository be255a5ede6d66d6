"""A place where models are found and published. What is not known is None and shows as "—"; nothing is guessed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints

from peft_studio.core.ports.platform import Account, Capability, ConnectorInfo, Sentence, Value, Word

PAGE_AT_MOST = 100

Sort = Literal["downloads", "updated", "likes"]


class Query(Value):
    """What is looked for. ``task``: None for models of every kind; ``cursor``: the ``next_cursor`` of the page before."""

    text: Annotated[str, StringConstraints(max_length=200)] = ""
    task: Word | None = "text-generation"
    sort: Sort = "downloads"
    limit: Annotated[int, Field(ge=1, le=PAGE_AT_MOST)] = 20
    cursor: Annotated[str, StringConstraints(max_length=4000)] | None = None


class RegistryModel(Value):
    """A model as a list shows it.

    Attributes:
        id: What the registry knows it by, and what ``studio.spec(model=…)`` takes where it can be trained.
        title: What people call it, where the id is only a number.
        licence: SPDX or the registry's own short name, in lower case.
        size_bytes: Of its weights as they are stored there.
        downloads_over: What ``downloads`` counts: "30 days" or "all time".
        gated: Its files are given only to accounts that were let in. private: it is shown to those alone, too.
        quantisation: Such as "Q4_K_M" or "gptq"; None where it is not quantised or nothing says so.
        task: Such as "text-generation" or "text-to-image".
    """

    id: Word
    registry: Word
    title: Word | None = None
    author: Word | None = None
    parameters: PositiveInt | None = None
    size_bytes: NonNegativeInt | None = None
    licence: Word | None = None
    downloads: NonNegativeInt | None = None
    downloads_over: Literal["30 days", "all time"] | None = None
    likes: NonNegativeInt | None = None
    gated: bool | None = None
    private: bool | None = None
    quantisation: Word | None = None
    format: Word | None = None
    task: Word | None = None
    base_models: tuple[Word, ...] = ()
    updated_at: AwareDatetime | None = None
    url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=2000)] | None = None


class Page(Value):
    """A part of the answer to a query. ``next_cursor``: what gets the rest; None at the end."""

    models: Annotated[tuple[RegistryModel, ...], Field(max_length=PAGE_AT_MOST)]
    next_cursor: Annotated[str, StringConstraints(max_length=4000)] | None = None


class ModelFile(Value):
    """A file of a model. ``blob_id``: git's own name of its content, where that is all that is known of it."""

    path: Annotated[str, StringConstraints(max_length=1000)]
    size_bytes: NonNegativeInt | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    blob_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None


class ModelDetails(Value):
    """A model as its own page shows it.

    Attributes:
        revision: The commit or version that all of this is of.
        card: Markdown by its author. Hostile until it is shown as text.
        config: Its ``config.json``, from which shapes, memory and time follow.
    """

    model: RegistryModel
    revision: Word | None = None
    files: Annotated[tuple[ModelFile, ...], Field(max_length=50_000)] = ()
    card: Annotated[str, StringConstraints(max_length=1_000_000)] | None = None
    config: Mapping[str, Any] | None = None


class UploadFile(Value):
    """A file to publish: where it stands on this machine, and its name over there. The digest is of its bytes as they are to arrive."""

    path: Annotated[str, StringConstraints(pattern=r"^[\w.-]+(/[\w.-]+)*$", max_length=300)]
    source: Annotated[str, StringConstraints(max_length=4096)]
    size_bytes: NonNegativeInt
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Upload(Value):
    """What is to be published, confirmed by a person already.

    Attributes:
        id: The publication's own name, which the other side carries where it can: the same files to the same place have the same one.
        repo: Where to: ``owner/name``, or a name.
        private: Nobody but its owner may see it. A place that exists and is public is then refused.
        settings: What else the platform needs to be told; no secret.
    """

    id: Word
    repo: Word
    files: Annotated[tuple[UploadFile, ...], Field(max_length=1000)]
    private: bool = True
    message: Sentence = ""
    settings: Mapping[str, Any] = Field(default_factory=dict)


class Published(Value):
    """What stands there now.

    Attributes:
        revision: The commit or digest of it.
        already: It stood there before, and nothing was changed.
        use: Lines with which others get it: commands, or Python.
    """

    repo: Word
    url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=2000)] | None = None
    revision: Word | None = None
    already: bool = False
    use: tuple[Word, ...] = ()


class Registry(Protocol):
    """A model registry. ``fetch_artifact`` (:mod:`peft_studio.core.ports.download`) and ``upload_artifact`` come with Capability.DOWNLOAD and PUBLISH.

    Its calls block, have an end of their own, and may come from several threads at once. They raise ConnectorError alone.
    """

    info: ConnectorInfo
    unsupported: Mapping[Capability, str]

    def connect(self) -> Account:
        """Prove the keys with one real call; see :class:`peft_studio.core.ports.platform.Connector`."""
        ...

    def search(self, query: Query) -> Page:
        """Models whose name has the words of ``query.text``, best first by ``query.sort`` where the platform can sort.

        At most ``query.limit``. Nothing found is an empty page, no error.
        """
        ...

    def get_model(self, model: str) -> ModelDetails:
        """All that the platform says of one model.

        Raises:
            NotFound: There is none of that id, or it does not show to this account.
        """
        ...


class Publisher(Protocol):
    """What a registry has that can be published to."""

    def upload_artifact(self, upload: Upload, report: Callable[[int], None]) -> Published:
        """Publish files, all at once as far as others can see. Called again with the same ``upload`` it changes nothing, and says so.

        What has arrived of an upload that broke off is not sent again. ``report`` is called with the bytes that are there by now.

        Raises:
            ConnectorError: ``may_have_happened`` where nobody can tell; calling it again then finds out.
            Refused: A file is not what was announced any more, or the place is public and was to be private.
        """
        ...

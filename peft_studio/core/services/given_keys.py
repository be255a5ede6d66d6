"""Values that a user gives to connect a platform, looked at before anything is sent: its own fields, of its own shape, no other platform's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peft_studio.core.errors import NotAuthorised, StudioError, nearest
from peft_studio.core.ports.platform import ConnectorInfo, KeyField, Keys
from peft_studio.core.redact import REDACTOR, Secret, judge_key


@dataclass(frozen=True, slots=True)
class Given:
    """What was given, by the names of the platform's fields."""

    secrets: Mapping[str, Secret]
    settings: Mapping[str, str]

    @property
    def keys(self) -> Keys:
        return {**self.secrets, **{name: Secret(value) for name, value in self.settings.items()}}


def read_given(info: ConnectorInfo, given: Mapping[str, Secret]) -> Given:
    """What was given, each value looked at before anything is sent. No value stands in a variable here, where a traceback could show it."""
    fields = {field.name: field for field in info.keys}
    for name in given:
        if name not in fields:
            hint = nearest(name, fields) if fields else f"{info.title} takes none."
            raise StudioError(f"{info.title} has no field {name!r}.", hint=hint, fields=(name,))
    secrets, settings = {}, {}
    for field in info.keys:
        value = given.get(field.name)
        if value is None:
            if field.required:
                raise StudioError(
                    f"{info.title} needs its {field.title.lower()}.",
                    hint=f"studio.connect({info.name!r}, {field.name}=…); it is made at {info.docs_url}.",
                    fields=(field.name,),
                )
            continue
        _check_value(info, field, value)
        if field.secret:
            secrets[field.name] = value
            REDACTOR.add(value)  # before it travels, and whether or not it will be kept
        else:
            settings[field.name] = value.reveal()
    return Given(secrets, settings)


def _check_value(info: ConnectorInfo, field: KeyField, value: Secret) -> None:
    """Refuse what is surely no value of this field. Never quotes it."""
    if field.secret and (verdict := judge_key(info.name, value)).outcome == "wrong":
        raise NotAuthorised(
            f"{verdict.sentence} It was not sent to {info.title}.",
            hint=f"Copy the {field.title.lower()} from {info.docs_url}.",
            platform=info.name,
        )
    if not field.fits(value.reveal()):
        raise StudioError(
            f"This does not look like the {field.title.lower()} of {info.title}.", hint=field.help, fields=(field.name,)
        )

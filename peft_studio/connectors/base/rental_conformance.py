"""What a provider of machines must do, as tests: above all, that no dollar is spent twice and no machine is forgotten.

    class TestMine(RentalConformance):
        INFO, ADDRESS_VARIABLE = INFO, "MINE_URL"
        KEYS, WRONG_KEYS = {"key": "…"}, {"key": "…"}

        @pytest.fixture(autouse=True)
        def platform(self, monkeypatch):
            with serve_my_emulator() as (address, self.emulator):
                monkeypatch.setenv("MINE_URL", address)
                yield

        def count_made(self): return self.emulator.made          # machines it ever made
        def lose_next_reply(self): self.emulator.lose = True      # the next one is made, and nobody hears of it
        def sell_out(self): self.emulator.stock = 0               # from now on none is to be had

The emulator must have something on sale. ``docs/connectors.md`` says what the verbs promise.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from peft_studio.connectors.base.connector_conformance import ConnectorConformance, load
from peft_studio.connectors.base.misbehaving import FAULTS, Misbehaving
from peft_studio.core.errors import ConnectorError, NotAuthorised, SoldOut
from peft_studio.core.ports import Ended, Instance, Instances, Invoice, Keys, LogLines, Offer, OfferQuery, Offers, Rent
from peft_studio.core.redact import Secret

SAID_NO = ("bad request", "forbidden", "not found", "conflict", "rate limited", "rate limited for an hour")
BOOT = "echo booted\nsleep 600\n"
SECRET = "a-secret-of-the-run"  # noqa: S105


class RentalConformance(ConnectorConformance):
    """Inherit it, name what :class:`ConnectorConformance` asks for, and give the three methods that look into the emulator."""

    VERBS = ("connect", "list_offers", "submit_job", "list_instances", "end_instance", "stream_logs", "list_charges")
    # The end of a machine that is not there is no error, and what was answered to it says nothing: the list decides.
    NO_ERRORS: ClassVar[frozenset[tuple[str, str]]] = frozenset(
        ("end_instance", name) for name, (status, _, _) in FAULTS.items() if status in (200, 404)
    )
    QUERY: ClassVar[OfferQuery] = OfferQuery()

    @abstractmethod
    def count_made(self) -> int:
        """Machines that the platform has made so far, those that ended too."""

    @abstractmethod
    def lose_next_reply(self) -> None:
        """The next machine is made, and the answer gets lost."""

    @abstractmethod
    def sell_out(self) -> None:
        """From now on there is none."""

    def rent(self, offer: Offer, label: str = "ps-run-1", **fields: Any) -> Rent:
        """What these tests buy."""
        given = {
            "boot": BOOT,
            "disk_gib": 40,
            "ports": (8080,),
            "secrets": {"RUN_KEY": Secret(SECRET)},
            "settings": {"RUN": "1"},
        }
        return Rent(label=label, offer=offer, **{**given, **fields})

    def buy(self, connector: Any, label: str = "ps-run-1") -> Instance:
        """One of what is on sale."""
        offer = next(one for one in connector.list_offers(self.QUERY).offers if one.stock != "none")
        return Instance.model_validate(connector.submit_job(self.rent(offer, label)))

    def test_offers_are_priced_and_its_own(self, connector: Any) -> None:
        """Each with a price, an id of its own, and when it was seen."""
        found = Offers.model_validate(connector.list_offers(self.QUERY)).offers
        assert found
        assert {offer.provider for offer in found} == {self.INFO.name}
        assert all(offer.usd_per_hour > 0 for offer in found)
        assert len({offer.id for offer in found}) == len(found)

    def test_a_machine_bears_its_label_and_is_listed(self, connector: Any) -> None:
        """From its first moment, once, and as its provider knows it."""
        made = self.buy(connector)
        assert (made.label, self.count_made()) == ("ps-run-1", 1)
        listed = Instances.model_validate(connector.list_instances()).instances
        assert [(one.id, one.label) for one in listed] == [(made.id, "ps-run-1")]

    def test_a_lost_reply_is_in_doubt_and_is_not_repeated(self, connector: Any) -> None:
        """The machine stands there; the error says that this may be, and the list finds it by its label."""
        self.lose_next_reply()
        with pytest.raises(ConnectorError) as caught:
            self.buy(connector, "ps-run-2")
        assert caught.value.may_have_happened
        assert self.count_made() == 1
        assert [one.label for one in connector.list_instances().instances] == ["ps-run-2"]

    def test_sold_out_is_said_and_nothing_is_made(self, connector: Any) -> None:
        """So that another offer may be taken at once."""
        offer = next(one for one in connector.list_offers(self.QUERY).offers if one.stock != "none")
        self.sell_out()
        with pytest.raises(SoldOut) as caught:
            connector.submit_job(self.rent(offer))
        assert not caught.value.may_have_happened
        assert (self.count_made(), connector.list_instances().instances) == (0, ())

    @pytest.mark.parametrize("fault", FAULTS)
    def test_buying_asks_once_whatever_comes_back(self, fault: str, keys: Keys, broken: Misbehaving) -> None:
        """One request that can buy; in doubt unless the platform said no."""
        offer = self.some_offer()
        broken.fault = fault
        with pytest.raises(ConnectorError) as caught:
            load(self.INFO)(keys).submit_job(self.rent(offer))
        assert len([one for one in broken.seen if "ps-run-1" in one]) == 1
        assert caught.value.may_have_happened == (fault not in SAID_NO)

    def test_what_never_left_is_not_in_doubt(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody listens there, so nothing was bought."""
        offer = self.some_offer()
        monkeypatch.setenv(self.ADDRESS_VARIABLE, "http://127.0.0.1:9")
        with pytest.raises(ConnectorError) as caught:
            load(self.INFO)(keys).submit_job(self.rent(offer))
        assert not caught.value.may_have_happened

    def test_ending_deletes_and_may_be_repeated(self, connector: Any) -> None:
        """The second time, and for one that never was, it is said that there is none."""
        made = self.buy(connector)
        assert Ended.model_validate(connector.end_instance(made.id)) == Ended(known=True)
        assert made.id not in [one.id for one in connector.list_instances().instances if one.billed != "nothing"]
        connector.end_instance(made.id)
        assert connector.end_instance("0000000") == Ended(known=False)

    def test_wrong_keys_can_do_nothing(self) -> None:
        """Neither look nor buy."""
        offer, wrong = (
            self.some_offer(),
            load(self.INFO)({name: Secret(value) for name, value in (self.WRONG_KEYS or {}).items()}),
        )
        for work in (wrong.list_instances, lambda: wrong.submit_job(self.rent(offer)), lambda: wrong.end_instance("1")):
            with pytest.raises(NotAuthorised):
                work()
        assert self.count_made() == 0

    def test_threads_may_share_it(self, connector: Any) -> None:
        """Four lists at once are the same list."""
        self.buy(connector)
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(connector.list_instances())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [[one.id for one in each.instances] for each in found] == [
            [connector.list_instances().instances[0].id]
        ] * 4

    def test_what_was_made_does_not_show_secrets(self, connector: Any) -> None:
        """Neither those of the run nor those of the account."""
        self.buy(connector)
        shown = f"{connector.list_instances()!r} {connector!r} {vars(connector)}"
        assert not [value for value in (SECRET, *self.KEYS.values()) if value in shown]

    def test_bills_and_logs_are_sound(self, connector: Any) -> None:
        """Where the provider has them."""
        made = self.buy(connector)
        if hasattr(connector, "list_charges"):
            Invoice.model_validate(connector.list_charges(datetime.now(UTC).replace(minute=0)))
        if hasattr(connector, "stream_logs"):
            LogLines.model_validate(connector.stream_logs(made.id, None))

    def some_offer(self) -> Offer:
        """One to buy, of the platform as it answers at first."""
        offer: Offer = self._offer
        return offer

    @pytest.fixture(autouse=True)
    def _seen(self, platform: None, keys: Keys) -> None:
        """Look at what is on sale before anything breaks. ``platform`` is the fixture that serves the emulator."""
        self._offer = next(one for one in load(self.INFO)(keys).list_offers(self.QUERY).offers if one.stock != "none")

    def call(self, connector: Any, verb: str) -> Any:
        """A verb with what this suite has for it."""
        given: dict[str, tuple[Any, ...]] = {
            "connect": (), "list_offers": (self.QUERY,), "submit_job": (self.rent(self._offer),), "list_instances": (),
            "end_instance": ("1",), "stream_logs": ("1", None), "list_charges": (datetime.now(UTC),),
        }  # fmt: skip
        return getattr(connector, verb)(*given[verb])

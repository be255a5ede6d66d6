"""The studio: the object a notebook or script holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peft_studio._studio.telemetry import Reporting

if TYPE_CHECKING:
    from peft_studio.core.errors import ConnectorError
    from peft_studio.core.ports.platform import ConnectorInfo
    from peft_studio.core.services.kept import Kept
    from peft_studio.widgets._panel import Panel


class Studio(Reporting):
    """One home of runs and models. Two studios on one home see the same runs.

    Args:
        home: Folder for runs and models; else ``$PEFT_STUDIO_HOME``, else the platform's data folder.
    """

    def __repr__(self) -> str:
        return f"Studio(home={str(self.home)!r})"

    def show(self, panel: str | None = None, run_id: str | None = None) -> Panel:
        """Show the whole studio, or one panel: ``studio.show("run", run.id)``, ``studio.show("publish", run.id)``."""
        return self.panel(panel, run_id)

    def panel(self, name: str | None = None, run_id: str | None = None) -> Panel:
        """A panel as a plain widget; without a name the whole studio."""
        from peft_studio.widgets import open_panel

        return open_panel(self, name, run_id)

    @property
    def errors(self) -> list[Exception]:
        """What went wrong in panels, newest last. Each was shown where it happened too."""
        from peft_studio.widgets import ERRORS

        return list(ERRORS)

    # -- how accounts, outbox and network are wired -------------------------------------------------------------

    @property
    def _kept(self) -> Kept:
        from peft_studio.core.services.kept import Kept

        return Kept(self._cache, lambda registry: self._connections.account_of(registry))

    def _may_ask(self, info: ConnectorInfo) -> None:
        from peft_studio.core.services.reachability import require_network

        require_network(self._connectivity, info)

    def _learn(self, info: ConnectorInfo, error: ConnectorError | None) -> None:
        from peft_studio.core.services.reachability import report_outcome

        report_outcome(self._connectivity, info, error)

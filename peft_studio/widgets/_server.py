"""The Jupyter server's end of the sidebar: the runs of the home, for a page in which no notebook, and so no kernel, is open.

One address that answers GET: it starts, changes and deletes nothing. Jupyter's own login and authorizer guard it. It
runs in the server's process, so what reads runs is imported with the first question.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

LISTED = 50  # newest runs that are told


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    app = server.web_app
    app.add_handlers(".*$", [(url_path_join(app.settings["base_url"], "peft-studio", "runs"), RunsHandler)])


class RunsHandler(APIHandler):
    """``GET /peft-studio/runs``."""

    auth_resource = "peft_studio"

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The newest runs of the home that kernels of this server have."""
        try:
            found = await asyncio.to_thread(list_runs)  # a large home must not hold up the server
        except (OSError, sqlite3.Error) as exc:
            raise web.HTTPError(503, "The runs of the home cannot be listed now.") from exc
        await self.finish(json.dumps(found))


def list_runs(home: Path | None = None) -> dict[str, Any]:
    """The home and its newest runs; none where no studio has been there yet."""
    from peft_studio.core.runs.store import RunStore
    from peft_studio.core.system import home_folder
    from peft_studio.widgets._run_line import run_line

    home = home or home_folder()
    if not (home / "runs").is_dir():
        return {"home": str(home), "runs": []}
    store = RunStore(home)
    return {"home": str(home), "runs": [run_line(row, store.folder(row.id)) for row in store.list_rows(limit=LISTED)]}

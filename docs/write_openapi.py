"""Write docs/openapi.json anew from the routes: `.venv/bin/python docs/write_openapi.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from headend.api import openapi
from headend.api.app import create_app

FILE = Path(__file__).with_name("openapi.json")


def text() -> str:
    """The document of the code as it is; no database is needed for it."""
    keys: Any = {"seal_key": lambda _, key: key, "open_key": lambda _, key: key}
    app = create_app(cast("Any", None), secret=bytes(16), **keys)
    return json.dumps(openapi.document(app), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    print(FILE)

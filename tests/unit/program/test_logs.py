from __future__ import annotations

import json
import logging
import sys

from ohmesh.program.logs import JsonLines


def line(message, *args, exc_info=None):
    record = logging.LogRecord("gateway.x", logging.WARNING, "f", 1, message, args, exc_info)
    return JsonLines().format(record)


def test_a_record_is_one_json_line_whatever_it_holds():
    text = line("lost: %s", 'a "quote"\nand a line')
    assert "\n" not in text
    assert json.loads(text)["message"] == 'lost: a "quote"\nand a line'
    assert json.loads(text)["level"] == "warning"
    assert json.loads(text)["time"].endswith("+00:00")


def test_a_traceback_stays_in_the_line():
    try:
        int("why")
    except ValueError:
        text = line("failed", exc_info=sys.exc_info())
    assert "\n" not in text
    assert "ValueError: invalid literal" in json.loads(text)["error"]

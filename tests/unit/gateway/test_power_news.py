from __future__ import annotations

from gateway.power_news import REPEATED_MS, PowerNews
from ohmesh.wire.report import MAX_POWER_NODES, PowerReport


def test_each_gasp_is_told_once_and_in_order():
    news = PowerNews()
    news.hear([1, 2], 0, restored=False)
    news.hear([2, 3], 10, restored=False)
    news.hear([1], 20, restored=True)
    assert news.reports() == [
        PowerReport(restored=False, nodes=[1, 2, 3]),
        PowerReport(restored=True, nodes=[1]),
    ]
    news.hear([1, 2, 3], 30, restored=False)
    assert news.reports() == [PowerReport(restored=False, nodes=[1])]
    assert news.reports() == []


def test_the_same_later_is_news():
    news = PowerNews()
    for at_ms in (0, REPEATED_MS - 1, REPEATED_MS):
        news.hear([7], at_ms, restored=False)
    assert news.reports() == [PowerReport(restored=False, nodes=[7, 7])]


def test_a_flood_is_cut_into_reports_that_travel():
    news = PowerNews()
    news.hear(range(MAX_POWER_NODES + 1), 0, restored=False)
    assert [len(report.nodes) for report in news.reports()] == [MAX_POWER_NODES, 1]

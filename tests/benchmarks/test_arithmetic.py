"""The benchmark suite's own arithmetic."""

from __future__ import annotations

import pytest

from benchmarks import cost, measure, report


def test_contenders_run_in_turn_after_their_warm_ups() -> None:
    order: list[str] = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = measure.interleaved(contenders, 2, barrier=lambda: order.append("|"), warm_ups=1)
    assert "".join(order) == "|a|b" * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_ratio_compares_neighbours() -> None:
    # The machine is ten times slower in the last repetition, for both.
    assert measure.ratio([2, 4, 20], [1, 2, 10]) == 2


def test_figures_come_back_from_the_output_of_a_rank(capsys: pytest.CaptureFixture[str]) -> None:
    measure.emit("gather", "200 MB dense", "ours / bare alltoall", 1.5, megabytes=200)
    (figure,) = measure.emitted(f"a warning\n[0]<stdout>:{capsys.readouterr().out}done\n")
    assert figure["value"] == 1.5
    assert report.bound_of(figure) == ("<=", 1.2)
    assert "| 1.5   | <= 1.2 | MISSED |" in report.table([figure])


def test_a_figure_without_a_bound_is_neither_met_nor_missed() -> None:
    figure = {"section": "inference", "case": "new", "what": "new", "value": 12345.6}
    assert report.bound_of(figure) is None
    assert "| 12,346 |       |  |" in report.table([figure])


def test_exponent_of_linear_and_of_quadratic_growth() -> None:
    assert cost.exponent([(x, 3 * x) for x in (1, 10, 100)]) == pytest.approx(1)
    assert cost.exponent([(x, x**2) for x in (1, 10, 100)]) == pytest.approx(2)


def test_peak_memory_sees_what_was_freed_again() -> None:
    with measure.PeakMemory() as peak:
        memory = bytearray(100 * measure.MEGABYTE)
        del memory
    assert peak.grown == pytest.approx(100, abs=20)

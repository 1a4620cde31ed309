"""What the whole suite shares: the report of instruction sets, and data that is easy to get wrong."""

from __future__ import annotations

import os

import pytest

import ferroconv


def pytest_report_header() -> list[str]:
    facts = ferroconv.info()
    missing = [isa for isa in facts["isa_built"] if isa not in facts["isa_detected"]]
    return [
        f"ferroconv {facts['version']} ({facts['profile']}), {facts['threads']} thread(s)",
        f"instruction sets tested: {', '.join(facts['isa_detected'])}; in use: {facts['isa_used']}",
        f"instruction sets NOT tested, this CPU lacks them: {', '.join(missing) or 'none'}",
    ]


def pytest_sessionstart() -> None:
    """``FERROCONV_ENSURE_ISA=name,name`` makes it an error that one of them can't be tested."""
    wanted = filter(None, os.environ.get("FERROCONV_ENSURE_ISA", "").split(","))
    missing = [isa for isa in wanted if isa not in ferroconv.info()["isa_detected"]]
    if missing:
        raise pytest.UsageError(f"FERROCONV_ENSURE_ISA asks for {missing}, which this CPU or build lacks")


@pytest.fixture(params=ferroconv.info()["isa_detected"])
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set that this CPU has."""
    return request.param

"""What a target means for a stack."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.problems import Invalid
from core.release_plan import CLOSED, Figures, Plan, Stack, Target, parse, plan

TODAY = date(2026, 11, 28)
HASH = "ab" * 32
NIGHTLY = {"source": "nightly", "date": "20261001", "sha256": "cd" * 32}


def stack(**changed: Any) -> Stack:
    values: dict[str, Any] = {
        "name": "prod",
        "environment": "production",
        "release": "19.0",
        "package": NIGHTLY,
        "image": None,
        "checkpoints": frozenset(),
        "allow_upgrade_to": None,
        "upgrade_checkpoint": None,
        "allow_unsupported": False,
        "data_modules": (),
        "proven": {},
        "databases": ("openerp", "openerp_test"),
    }
    return Stack(**{**values, **changed})


def means(target: Target, figures: Figures | None = None, **changed: Any) -> Plan:
    return plan(stack(**changed), target, today=TODAY, figures=figures)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("19.0", Target(release="19.0")),
        ("20261101", Target(date="20261101")),
        ("19.0.20261101", Target(release="19.0", date="20261101")),
        ("ami-0123456789abcdef0", Target(image="ami-0123456789abcdef0")),
        ("resolve:ssm:/images/erp", Target(image="resolve:ssm:/images/erp")),
        ("5.0.16", Target(release="5.0.16")),
    ],
)
def test_a_target_is_a_release_a_day_both_or_an_image(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize("text", ["", "19", "newest", "20261332", "ami-x y", "19.0.20269999"])
def test_anything_else_is_no_target(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


@given(st.text(max_size=20))
def test_no_text_breaks_the_reading(text: str) -> None:
    try:
        assert isinstance(parse(text), Target)
    except Invalid as invalid:
        assert invalid.wrong


def test_a_target_can_be_said_aloud() -> None:
    assert str(parse("19.0.20261101")) == "19.0 of 2026-11-01"
    assert str(parse("20261101")) == "the package of 2026-11-01"
    assert str(parse("ami-0123456789abcdef0")) == "the image ami-0123456789abcdef0"
    assert str(Target()) == "the same release"


# Updates


def test_another_day_is_an_update_and_changes_the_package_alone() -> None:
    found = means(Target(date="20261101", sha256=HASH))
    assert found.kind == "update"
    assert found.settings == {"package": {"source": "nightly", "date": "20261101", "sha256": HASH}}
    assert all(need.met for need in found.needs)
    assert "2026-11-01" in found.says
    assert found.steps[1].command == (
        f"python -m ops release update --stack prod --date 20261101 --sha256 {HASH}"
    )


def test_another_days_package_needs_its_own_hash() -> None:
    found = means(Target(date="20261101"))
    assert found.settings["package"] == {"source": "nightly", "date": "20261101"}
    (need,) = found.needs
    assert not need.met
    assert "SHA-256 of the package of 2026-11-01" in need.what


def test_an_older_package_is_warned_of() -> None:
    found = means(Target(date="20260901", sha256=HASH))
    assert any("is before 2026-10-01" in warning for warning in found.warnings)


def test_where_openerp_comes_from_does_not_change_silently() -> None:
    found = means(Target(date="20261101", sha256=HASH), package={"source": "debian"})
    assert any("`package.source` was debian" in warning for warning in found.warnings)


def test_an_image_is_an_update_of_the_image_alone() -> None:
    found = means(Target(image="ami-1"), package={"source": "image"}, image="ami-0")
    assert (found.kind, found.settings, found.needs) == ("update", {"serverImage": "ami-1"}, ())


def test_the_same_release_leaves_the_modules_to_be_updated() -> None:
    found = means(Target(release="19.0"))
    assert (found.kind, found.settings) == ("modules", {})
    assert not any("new code" in step.what for step in found.steps)


def test_new_code_of_the_same_series_comes_while_people_work_and_of_another_behind_closed_doors() -> None:
    same = means(Target(date="20261101", sha256=HASH))
    words = [step.what for step in same.steps]
    assert [("new code" in text, "closed" in text) for text in words[2:4]] == [(True, False), (False, True)]
    other = means(
        Target(release="5.2"), release="5.0", environment="development", package={"source": "image"}
    )
    assert other.kind == "update"
    closing, _, code = other.steps[2:5]
    assert "closed" in closing.what
    assert "new code" in code.what
    assert code.closed


def test_the_downtime_is_that_of_the_last_time_or_says_where_it_was_measured() -> None:
    took = Figures(seconds={**dict.fromkeys(CLOSED, 60.0), "code": 1000.0}, source="the update of 2026-10-02")
    found = means(Target(date="20261101", sha256=HASH), took)
    assert found.downtime_seconds == 60.0 * len(CLOSED)
    assert found.downtime == "about 5 minutes (the update of 2026-10-02)"
    assert "measured on one machine of two cores" in means(Target(release="19.0")).downtime


# Upgrades and what is refused


def test_a_step_in_a_is_an_upgrade_that_says_what_is_needed() -> None:
    found = means(Target(release="20.0"), data_modules=("colours",), proven={"colours": frozenset({"19.0"})})
    assert found.kind == "upgrade"
    assert [need.met for need in found.needs] == [False, False, False, False]
    assert found.needs[-1].what == "data module colours proven on 20.0"
    assert found.downtime.startswith("hours")
    assert any("not known to this program" in warning for warning in found.warnings)
    ready = means(
        Target(release="20.0"),
        checkpoints=frozenset({"before-20"}),
        allow_upgrade_to="20.0",
        upgrade_checkpoint="before-20",
        data_modules=("colours",),
        proven={"colours": frozenset({"19.0", "20.0"})},
    )
    assert all(need.met for need in ready.needs)


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("18.0", "older than 19.0, which is running"),
        ("saas~19.2", "hosted-only"),
        ("19.1", "hosted-only"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(release: str, said: str) -> None:
    found = means(Target(release=release))
    assert found.kind == "refused"
    assert said in found.says
    assert found.steps == ()


def test_production_refuses_what_is_out_of_support_and_development_is_warned() -> None:
    old: dict[str, Any] = {"release": "16.0", "package": {"source": "image"}}
    assert means(Target(release="16.0"), **old).kind == "refused"
    told = means(Target(release="16.0"), environment="development", **old)
    assert told.kind == "modules"
    assert any("no security fixes" in warning for warning in told.warnings)

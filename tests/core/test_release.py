"""Release policy."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.problems import Invalid
from core.release import (
    Kind,
    Release,
    Step,
    check,
    parse,
    support,
    support_end_text,
    supported_series,
    transition,
)

TODAY = date(2026, 11, 23)
numbers = st.integers(min_value=0, max_value=30)
releases = st.one_of(
    st.builds(Release, st.integers(1, 7), numbers, numbers),
    st.builds(Release, st.integers(8, 40), st.integers(0, 4)),
    st.builds(Release, st.integers(8, 40), st.integers(0, 4), st.just(0), st.just(True)),
)
own = st.builds(Release, st.integers(8, 40), st.just(0))


def allowed(release: Release, environment: str, *, override: bool = False) -> bool:
    try:
        check(release, environment=environment, today=TODAY, allow_unsupported=override)
    except Invalid:
        return False
    return True


@given(releases)
def test_a_release_reads_back_as_it_is_written(release: Release) -> None:
    assert parse(str(release)) == release


@given(st.text(max_size=30))
def test_any_text_is_a_release_or_refused(text: str) -> None:
    try:
        assert isinstance(parse(text), Release)
    except Invalid as invalid:
        assert invalid.wrong
        assert invalid.right


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("19.0", Kind.STABLE),
        ("6.1", Kind.STABLE),
        ("6.0.3", Kind.STABLE),
        ("5.0", Kind.STABLE),
        ("5.1", Kind.DEVELOPMENT),
        ("4.3.2", Kind.DEVELOPMENT),
        ("6.3", Kind.DEVELOPMENT),
        ("17.2", Kind.HOSTED_ONLY),
        ("saas~19.2", Kind.HOSTED_ONLY),
        ("saas-14", Kind.HOSTED_ONLY),
    ],
)
def test_the_kind_of_a_release_follows_from_its_numbers(text: str, kind: Kind) -> None:
    assert parse(text).kind is kind


def test_a_number_without_quotes_is_explained() -> None:
    with pytest.raises(Invalid, match="YAML turns") as caught:
        parse("19")
    assert '"19.0"' in caught.value.right


def test_three_numbers_are_refused_for_todays_series() -> None:
    with pytest.raises(Invalid, match="releases have two"):
        parse("19.0.1")


@given(releases)
def test_production_refuses_a_development_release(release: Release) -> None:
    if release.kind is Kind.DEVELOPMENT:
        assert not allowed(release, "production", override=True)
        assert allowed(release, "development")
        assert allowed(release, "training")


@given(releases, st.sampled_from(["development", "training", "production"]), st.booleans())
def test_a_hosted_only_release_is_refused_everywhere(
    release: Release, environment: str, override: bool
) -> None:
    if release.kind is Kind.HOSTED_ONLY:
        assert not allowed(release, environment, override=override)


def test_production_needs_an_override_past_the_end_of_support() -> None:
    assert not allowed(parse("17.0"), "production")
    assert allowed(parse("17.0"), "production", override=True)
    assert allowed(parse("17.0"), "training")
    assert allowed(parse("18.0"), "production")
    assert not allowed(parse("6.1"), "production")


def test_the_day_that_is_passed_in_decides_about_support() -> None:
    release = parse("18.0")
    end = support(release, TODAY).end
    assert end == date(2027, 9, 30)
    assert support(release, end).supported
    assert not support(release, end + timedelta(days=1)).supported


def test_the_end_of_support_is_announced_half_a_year_before() -> None:
    def warnings(today: date) -> tuple[str, ...]:
        return check(parse("18.0"), environment="production", today=today, allow_unsupported=False)

    assert warnings(date(2027, 1, 1)) == ()
    assert "plan the upgrade" in warnings(date(2027, 5, 1))[0]


def test_an_unsupported_release_warns_where_it_may_run() -> None:
    (warning,) = check(parse("17.0"), environment="development", today=TODAY, allow_unsupported=False)
    assert "2026-09-30" in warning


def test_a_release_newer_than_the_table_is_allowed_and_says_so() -> None:
    (warning,) = check(parse("20.0"), environment="production", today=TODAY, allow_unsupported=False)
    assert "not known" in warning
    assert support_end_text(parse("20.0")) == "not known"


def test_the_supported_series_are_listed_newest_first() -> None:
    assert supported_series(TODAY) == ("19.0", "18.0")


@given(own, own, st.one_of(st.none(), own), st.sampled_from([None, "a", "b"]))
def test_a_step_in_a_needs_permission_and_a_checkpoint(
    old: Release, new: Release, permitted: Release | None, checkpoint: str | None
) -> None:
    try:
        step = transition(old, new, allow_upgrade_to=permitted, checkpoint=checkpoint, checkpoints=["a"])
    except Invalid:
        assert new < old or (new.a > old.a and (permitted != new or checkpoint != "a"))
    else:
        expected = Step.SAME if new == old else Step.UPGRADE
        assert step is expected
        if step is Step.UPGRADE:
            assert permitted == new
            assert checkpoint == "a"


@given(st.integers(1, 7), numbers, numbers, numbers, numbers)
def test_a_step_in_b_or_c_is_an_update_and_never_goes_back(a: int, b: int, c: int, b2: int, c2: int) -> None:
    old, new = Release(a, b, c), Release(a, b2, c2)
    if new < old:
        with pytest.raises(Invalid, match="older"):
            transition(old, new, allow_upgrade_to=new, checkpoint="a", checkpoints=["a"])
    else:
        step = transition(old, new, allow_upgrade_to=None, checkpoint=None, checkpoints=[])
        assert step is (Step.SAME if new == old else Step.UPDATE)

"""The rules of `core/neutralisation.py` on a real database: what offends, and putting it right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from core import neutralisation
from core.neutralisation import Rule, UnknownError
from ops.errors import OpsError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

NAMED: Final = 5
"""So many offenders of a rule are named; the rest is counted."""


@dataclass(frozen=True, kw_only=True)
class Offence:
    """A rule that does not hold."""

    rule: str
    against: str
    count: int
    named: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {self.count - len(self.named)} more" if self.count > len(self.named) else ""
        return f"{self.rule} ({', '.join(self.named)}{more}): {self.against}"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What was found in one database."""

    database: str
    rules: int
    left_out: tuple[str, ...]
    """Rules whose table or column the database does not have."""
    offences: tuple[Offence, ...]


class Judge:
    """The rules that hold for one database, looked up in its own catalogue.

    Raises OpsError where a rule cannot be judged: unknown is no pass.
    """

    def __init__(
        self, connection: Connection, database: str, more: Iterable[Rule] = (), *, standing: bool = False
    ) -> None:
        """`more`: rules that hold besides, as for this system's address.

        `standing`: without those about what came along, as where people have practised since.
        """
        self._connection = connection
        self._database = database
        self._connection.execute("set search_path to public")
        found = neutralisation.tables(self._all(neutralisation.CATALOGUE, "its catalogue"))
        try:
            rules, self.left_out = neutralisation.chosen(found)
        except UnknownError as unknown:
            raise OpsError(f"the database {database} cannot be judged: {unknown}") from None
        self.rules = tuple(rule for rule in (*rules, *more) if not (standing and rule.once))

    def _all(self, query: str, what: str) -> list[tuple[Any, ...]]:
        import psycopg

        try:
            return self._connection.execute(query.encode()).fetchall()
        except psycopg.Error as error:
            raise self._unjudged(what, error) from error

    def _unjudged(self, what: str, error: Exception) -> OpsError:
        said = str(error).strip().splitlines()[0]
        return OpsError(f"the database {self._database} cannot be judged: {what}: {said}")

    def look(self) -> Judged:
        """Check every rule, in one snapshot."""
        with self._connection.transaction():
            self._connection.execute("set transaction isolation level repeatable read read only")
            offences = [found for rule in self.rules if (found := self._offence(rule)) is not None]
        return Judged(
            database=self._database,
            rules=len(self.rules),
            left_out=self.left_out,
            offences=tuple(offences),
        )

    def _offence(self, rule: Rule) -> Offence | None:
        [(count, named)] = self._all(
            "select count(*), coalesce((array_agg(offender order by offender))"  # noqa: S608
            f"[1:{NAMED}], '{{}}') from ({rule.offenders}) as found(offender)",
            rule.name,
        )
        if not count:
            return None
        return Offence(rule=rule.name, against=rule.against, count=count, named=tuple(map(str, named)))

    def scrub(self) -> None:
        """Put right what can be put right, all or nothing."""
        import psycopg

        with self._connection.transaction():
            for rule in self.rules:
                for statement in rule.scrub:
                    try:
                        self._connection.execute(statement.encode())
                    except psycopg.Error as error:
                        raise self._unjudged(rule.name, error) from error


def only_odoo(judged: Sequence[Offence]) -> list[Offence]:
    """Return those offences that no statement of ours puts right."""
    own = {rule.name for rule in neutralisation.RULES if not rule.scrub}
    return [offence for offence in judged if offence.rule in own]

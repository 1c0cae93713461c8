"""What both frameworks' vector stores do alike: hold an index, search it, and say what a store of many rows cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latelens.bridge.retrieving import Retrieved, Wanted, aretrieve, retrieve
from latelens.explanation.results import ExplainMode
from latelens.index.protocol import Filter, Index
from latelens.refusals import described


@dataclass(frozen=True)
class Store:
    """An index, and how it is searched where a search does not say otherwise."""

    index: Index
    wanted: Wanted

    @classmethod
    def of(cls, index: object, explain: ExplainMode, min_score: float | None, min_relevance: float | None) -> Store:
        """The store that an adapter's arguments describe.

        Raises
        ------
        TypeError
            If the index is none.
        """
        if not isinstance(index, Index):
            raise TypeError(
                f"index must be an index of latelens.index, got {described(index)}; a TwoStage "
                "stores nothing: give it to a LateInteractionRetriever"
            )
        return cls(index, Wanted(explain=explain, min_score=min_score, min_relevance=min_relevance))

    def search(self, query: str, asked: Mapping[str, Any]) -> list[Retrieved]:
        """What is found, best first; `asked` takes the place of what was set."""
        return retrieve(self.index, [query], self.wanted.asked(asked))[0]

    async def asearch(self, query: str, asked: Mapping[str, Any]) -> list[Retrieved]:
        """Like `search`, off the event loop."""
        return (await aretrieve(self.index, [query], self.wanted.asked(asked)))[0]


def no_single_vector(what: str, instead: str) -> NotImplementedError:
    """The error for what needs one vector a text."""
    return NotImplementedError(f"{what} needs one vector for each text, and late interaction keeps many; {instead}")


def both(*filters: Filter | None) -> Filter | None:
    """What all of the filters let through; None lets everything through."""
    given = [filter for filter in filters if filter is not None]
    return {"$and": given} if len(given) > 1 else given[0] if given else None

"""Runs, as LangChain traces them: of many queries in one call, and of what a query makes others run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForRetrieverRun,
    CallbackManager,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, patch_config, var_child_runnable_config

Configs = RunnableConfig | list[RunnableConfig] | None


class RetrievesMany(Protocol):
    """A retriever that takes many queries at once."""

    tags: list[str] | None
    metadata: dict[str, Any] | None

    def retrieve_many(self, queries: Sequence[str], **asked: Any) -> list[list[Document]]: ...  # noqa: D102

    async def aretrieve_many(self, queries: Sequence[str], **asked: Any) -> list[list[Document]]: ...  # noqa: D102

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str: ...  # noqa: D102

    def _get_ls_params(self, **kwargs: Any) -> Mapping[str, Any]: ...


def batch(
    retriever: RetrievesMany, inputs: list[str], config: Configs, *, return_exceptions: bool, **asked: Any
) -> list[list[Document]]:
    """Retrieve for each query; each slice of ``max_concurrency`` queries is encoded together."""
    configs = get_config_list(config, len(inputs))
    results: list[Any] = []
    for part in _slices(configs):
        results += _batch(retriever, inputs[part], configs[part], return_exceptions, asked)
    return results


async def abatch(
    retriever: RetrievesMany, inputs: list[str], config: Configs, *, return_exceptions: bool, **asked: Any
) -> list[list[Document]]:
    """Like `batch`, off the event loop."""
    configs = get_config_list(config, len(inputs))
    results: list[Any] = []
    for part in _slices(configs):
        results += await _abatch(retriever, inputs[part], configs[part], return_exceptions, asked)
    return results


@contextmanager
def child_runs(run: CallbackManagerForRetrieverRun | AsyncCallbackManagerForRetrieverRun) -> Iterator[None]:
    """Make what a first stage runs in here a child of the retriever's run."""
    token = var_child_runnable_config.set(patch_config(None, callbacks=run.get_child()))
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _slices(configs: Sequence[RunnableConfig]) -> Iterator[slice]:
    size = (configs[0].get("max_concurrency") if configs else None) or max(len(configs), 1)
    return (slice(start, start + size) for start in range(0, len(configs), size))


def _batch(
    retriever: RetrievesMany,
    queries: list[str],
    configs: list[RunnableConfig],
    return_exceptions: bool,
    asked: dict[str, Any],
) -> list[Any]:
    runs = [
        CallbackManager.configure(**_managed(retriever, config, asked)).on_retriever_start(
            None, query, name=config.get("run_name") or retriever.get_name()
        )
        for query, config in zip(queries, configs, strict=True)
    ]
    try:
        found: list[Any] = list(retriever.retrieve_many(queries, **asked))
    except BaseException as error:
        if not return_exceptions or not isinstance(error, Exception):
            for run in runs:
                run.on_retriever_error(error)
            raise
        found = [_try(retriever, query, asked) for query in queries]  # only some may be at fault
    for run, result in zip(runs, found, strict=True):
        if isinstance(result, Exception):
            run.on_retriever_error(result)
        else:
            run.on_retriever_end(result)
    return found


async def _abatch(
    retriever: RetrievesMany,
    queries: list[str],
    configs: list[RunnableConfig],
    return_exceptions: bool,
    asked: dict[str, Any],
) -> list[Any]:
    runs = [
        await AsyncCallbackManager.configure(**_managed(retriever, config, asked)).on_retriever_start(
            None, query, name=config.get("run_name") or retriever.get_name()
        )
        for query, config in zip(queries, configs, strict=True)
    ]
    try:
        found: list[Any] = list(await retriever.aretrieve_many(queries, **asked))
    except BaseException as error:
        if not return_exceptions or not isinstance(error, Exception):
            for run in runs:
                await run.on_retriever_error(error)
            raise
        found = [await _atry(retriever, query, asked) for query in queries]
    for run, result in zip(runs, found, strict=True):
        if isinstance(result, Exception):
            await run.on_retriever_error(result)
        else:
            await run.on_retriever_end(result)
    return found


def _managed(retriever: RetrievesMany, config: RunnableConfig, asked: dict[str, Any]) -> dict[str, Any]:
    """What `BaseRetriever.invoke` gives to a callback manager."""
    return {
        "inheritable_callbacks": config.get("callbacks"),
        "inheritable_tags": config.get("tags"),
        "local_tags": retriever.tags,
        "inheritable_metadata": {**(config.get("metadata") or {}), **retriever._get_ls_params(**asked)},
        "local_metadata": retriever.metadata,
    }


def _try(retriever: RetrievesMany, query: str, asked: dict[str, Any]) -> list[Document] | Exception:
    try:
        return retriever.retrieve_many([query], **asked)[0]
    except Exception as error:
        return error


async def _atry(retriever: RetrievesMany, query: str, asked: dict[str, Any]) -> list[Document] | Exception:
    try:
        return (await retriever.aretrieve_many([query], **asked))[0]
    except Exception as error:
        return error

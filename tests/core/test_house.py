"""The house: rooms by what they know. Imports run downward and in no circle, and a name means one thing."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (ROOT / "core", ROOT / "integrations")
# From the ground up: a room imports from rooms below it and from itself.
FLOORS = (
    ("_version", "embeddings", "legibility", "maxsim", "patches", "paths", "rounded", "serialize", "refusals", "shown"),
    ("shortlist",),
    ("text",),
    ("pages",),
    ("encoders",),
    ("explanation",),
    ("ranking", "single_vector"),
    ("index", "attribution"),
    ("evaluation",),
    ("bridge", "adapt"),
    ("interchange", "render"),
    ("cli",),
    ("__init__", "__main__"),
)
HEIGHT = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def files() -> dict[str, Path]:
    """Source files by the name of their module; a package is named by its `__init__`."""
    found = {}
    for source in SOURCES:
        for path in source.rglob("*.py"):
            found[".".join(path.relative_to(source).with_suffix("").parts)] = path
    return found


def imports(name: str, known: dict[str, Path]) -> set[str]:
    """Our modules that a file names in an import, wherever in the file and under whatever condition."""
    found = set()
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                found.add(module if {module, f"{module}.__init__"} & known.keys() else str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    named = {f"{module}.__init__" if f"{module}.__init__" in known else module for module in found}
    return named & known.keys()


KNOWN = files()
ARROWS = {name: imports(name, KNOWN) for name in KNOWN}


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_no_import_runs_in_a_circle():
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")


def test_no_import_runs_upward():
    upward = [
        f"{name} -> {module}"
        for name, modules in ARROWS.items()
        if name.startswith("latelens.")
        for module in modules
        if not module.startswith("latelens.") or HEIGHT[room_of(module)] > HEIGHT[room_of(name)]
    ]
    assert not upward


def test_rooms_of_one_floor_do_not_know_each_other():
    across = [
        f"{name} -> {module}"
        for name, modules in ARROWS.items()
        if name.startswith("latelens.") and HEIGHT[room_of(name)] > 0
        for module in modules
        if room_of(module) != room_of(name) and HEIGHT[room_of(module)] == HEIGHT[room_of(name)]
    ]
    assert not across


def test_the_test_sees_the_circle_and_the_upward_import_that_it_forbids():
    known = {"latelens.text.a": Path(__file__), "latelens.cli.b": Path(__file__)}
    assert imports("latelens.text.a", known) == set()  # this file imports none of ours
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    assert "latelens.explanation.matches" in ARROWS["latelens.ranking"]
    assert HEIGHT["cli"] > HEIGHT["render"] > HEIGHT["explanation"] > HEIGHT["text"]


def test_two_public_classes_of_one_name_are_twins_of_the_two_frameworks():
    places = defaultdict(list)
    for name, path in KNOWN.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name.split(".")[0])
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert all(sorted(found) == ["langchain_latelens", "llama_index_latelens"] for found in twice.values()), twice


@pytest.mark.parametrize("package", ["latelens", "langchain_latelens", "llama_index_latelens"])
def test_no_function_hides_a_module_of_its_name(package):
    top = importlib.import_module(package)
    below = [found.name for found in pkgutil.walk_packages(top.__path__, f"{package}.") if found.ispkg]
    for name in [package, *below]:
        if not name.endswith("plaid"):  # needs PyLate, which has an environment of its own
            each = importlib.import_module(name)
            modules = [found.name for found in pkgutil.iter_modules(each.__path__)]
            assert not [module for module in modules if inspect.isroutine(getattr(each, module, None))], name

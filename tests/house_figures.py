"""The figures of the house, held by test_house.py.

Print them with ``python tests/house_figures.py``.
Everything is read from the source of ``ner/``, less the bundled corpus in ``ner/sample``.
"""

from __future__ import annotations

import ast
import subprocess
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEFORE = "54da79b"  # the house before it was rebuilt, with fewer features
Graph = Mapping[str, set[str]]

# Functions that sum over the paths of a chain step by step, forward or backward, each with the
# implementation it is part of. An implementation is one way to write the two recursions.
SUMS_OVER_PATHS = {
    "ner.crf.core.linear_space._walk": "scaled",
    "ner.crf.core.forward_backward.recursion": "log space, of numpy and of torch",
    "ner.crf.core.short_sentence._messages": "one short sentence",
    "ner.crf.gpu._carry": "accelerator",
    "ner.crf.gpu._matrices": "accelerator",
    "ner.crf.gpu._walk": "accelerator",
}
# Functions with such a loop that are no sums over paths, and what they are.
OTHER_RECURRENCES = {
    "ner.crf.core.decoding._reaches_end": "which tags can still end the sentence",
    "ner.crf.core.forward_backward.LogSpace.gradient": "a sum over tokens of pairs of tags",
    "ner.crf.core.scores.entropy": "a sum over tokens of pairs of tags",
    "ner.inference.gates.ContextGates._add_by_sentence": "tokens of sentences, step by step",
    "ner.inference.cpu_network._Member.emissions": "layers of an LSTM",
    "ner.inference.fast.TorchRecurrence.run": "an LSTM",
    "ner.inference.fast.TorchRecurrence._along": "an LSTM",
    "ner.inference.fast.TorchRecurrence._one": "an LSTM",
    "ner.training.step.Stepper._add_gradients": "members of an ensemble",
    "ner.training.step.Stepper._gradients": "batches of a step",
    "ner.pretraining.vectors._decomposed": "power iterations of a decomposition",
    "ner.pretraining.vectors._nearest": "blocks of words",
    "ner.pretraining.vectors.word_classes": "rounds of k-means",
}
SUMMING = {"logsumexp", "logaddexp", "matmul", "bmm", "mm", "addmm", "addmm_", "dot", "einsum"}


@dataclass(frozen=True)
class Module:
    """A module of the package.

    Attributes:
        name: As it is imported.
        path: Its file.
        text: Its source.
    """

    name: str
    path: Path
    text: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the parsed source."""
        return list(ast.walk(ast.parse(self.text)))

    @property
    def room(self) -> str:
        """The module or package right below ``ner`` that it is in."""
        return self.name.split(".")[1] if "." in self.name else "ner"

    @cached_property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Each function and method by its qualified name."""
        return dict(_functions(self.nodes[0], f"{self.name}."))


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        inner = isinstance(node, ast.FunctionDef | ast.ClassDef)
        if isinstance(node, ast.stmt):
            yield from _functions(node, f"{prefix}{node.name}." if inner else prefix)


@cache
def modules() -> dict[str, Module]:
    """Return all modules of ``ner`` by name."""
    found = {}
    for path in sorted((ROOT / "ner").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] == "sample":
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, path.read_text(encoding="utf-8"))
    return found


def imports(module: Module, known: Container[str]) -> set[str]:
    """Return the modules that a module imports anywhere: for types and lazily, too."""
    names = set()
    for node in module.nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in known else node.module)
    return {name for name in names if name in known} - {module.name}


def circles_of_modules() -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by way of others."""
    known = modules()
    return circles({name: imports(module, known) for name, module in known.items()})


def circles_of_rooms() -> list[list[str]]:
    """Return the groups of rooms that import each other."""
    known = modules()
    graph: defaultdict[str, set[str]] = defaultdict(set)
    for module in known.values():
        graph[module.room] |= {known[name].room for name in imports(module, known)}
        graph[module.room].discard(module.room)
    return circles(graph)


def circles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected components of more than one node, each sorted."""
    reached = {node: _reachable(node, graph) for node in graph}
    found = {
        tuple(sorted(other for other in near if node in reached[other] and other in near))
        for node, near in reached.items()
        if node in near
    }
    return sorted(map(list, found))


def _reachable(node: str, graph: Graph) -> set[str]:
    """The nodes that some steps lead to; the node itself only if there is a way back."""
    found: set[str] = set()
    left = list(graph[node])
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += graph.get(one, ())
    return found


def homonyms() -> dict[str, list[str]]:
    """Return the class names that stand more than once in ``ner``, and where."""
    places = defaultdict(list)
    for module in modules().values():
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module.name)
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


def repeated_helpers() -> dict[str, list[str]]:
    """Return private functions of one name and the same code in several files.

    The code is the same if it is but for the names of arguments and local variables.
    """
    places: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for module in modules().values():
        for function in module.functions.values():
            name = function.name
            if name.startswith("_") and not name.endswith("__"):
                places[name, shape(function)].add(module.name)
    return {name: sorted(found) for (name, _), found in sorted(places.items()) if len(found) > 1}


def shape(function: ast.FunctionDef) -> str:
    """Return the code of a function without docstring and annotations, its locals numbered."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    own = {argument.arg: f"${number}" for number, argument in enumerate(named)}
    stored = [
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    for name in stored:
        own.setdefault(name, f"${len(own)}")
    body = function.body[ast.get_docstring(function) is not None :]
    text = "\n".join(map(ast.dump, body))
    for name, number in own.items():
        text = text.replace(f"Name(id='{name}'", f"Name(id='{number}'")
    return text


def recurrences() -> set[str]:
    """Return the functions with a loop in which sums of products are carried on.

    A loop counts if it calls one of ``SUMMING`` or multiplies by ``@``, or calls a function of the
    same module that does. That is what a forward or backward recursion looks like; whether one is
    a sum over paths is for people to say, in ``SUMS_OVER_PATHS`` or ``OTHER_RECURRENCES``.
    """
    found = set()
    for module in modules().values():
        if not any(word in module.text for word in (*SUMMING, " @ ")):
            continue
        helpers = {one.name for one in module.functions.values() if _sums(one, frozenset())}
        for name, function in module.functions.items():
            loops = [n for n in ast.walk(function) if isinstance(n, ast.For | ast.While)]
            if any(_sums(loop, frozenset(helpers - {function.name})) for loop in loops):
                found.add(name)
    return found


def _sums(tree: ast.AST, helpers: frozenset[str]) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            return True
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in SUMMING or called in helpers:
                return True
    return False


def implementations() -> Counter[str]:
    """Return how many functions each way to write forward-backward consists of."""
    there = recurrences()
    return Counter(way for name, way in SUMS_OVER_PATHS.items() if name in there)


def figures() -> dict[str, object]:
    """Return all figures by name."""
    known = modules()
    lines = {name: module.text.count("\n") for name, module in known.items()}
    functions = {
        name: (node.end_lineno or node.lineno) - node.lineno + 1
        for module in known.values()
        for name, node in module.functions.items()
    }
    largest, longest = max(lines, key=lines.__getitem__), max(functions, key=functions.__getitem__)
    ways = implementations()
    return {
        "lines": f"{sum(lines.values()):,}",
        "files": len(known),
        "circles of modules": circles_of_modules(),
        "circles of rooms": circles_of_rooms(),
        "forward-backward written": f"{len(ways)} times: {'; '.join(sorted(ways))}",
        "homonym classes": homonyms(),
        "repeated private helpers": repeated_helpers(),
        "largest file": f"{largest}, {lines[largest]} lines",
        "longest function": f"{longest}, {functions[longest]} lines",
    }


def lines_of_rooms(commit: str) -> Counter[str]:
    """Return the lines of each room in a commit; nothing where git does not have it."""
    listed = subprocess.run(
        ["git", "grep", "-c", "", commit, "--", "ner/*.py", ":!ner/sample"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines: Counter[str] = Counter()
    for one in listed.stdout.splitlines():
        _, path, count = one.split(":")
        lines[path.split("/")[1]] += int(count)
    return lines


def main() -> None:
    """Print the figures, and the lines of each room beside those of git's ``BEFORE``."""
    for name, figure in figures().items():
        held = figure if isinstance(figure, list | dict) else ()
        print(f"{name:26}{len(held) if isinstance(figure, list | dict) else figure}")
        for one in held:
            print("   ", *((one, *held[one]) if isinstance(held, dict) else one))
    before, now = lines_of_rooms(BEFORE), lines_of_rooms("HEAD")
    for room in sorted(before | now) if before else ():
        print(f"    {room:22}{before[room]:7,}{now[room]:7,}{now[room] - before[room]:+7,}")


if __name__ == "__main__":
    main()

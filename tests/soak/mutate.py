"""Mutation testing: how many small mistakes in the code would the tests notice?

``mutate.py crf|decoding|metrics|reader`` draws mutants of a part of the code at random, each of one
change (``<`` for ``<=``, ``+`` for ``-``, a constant one larger, a statement left out, ...), and
runs the tests of that part against each. A mutant is killed if a test fails or does not end; those
that survive are printed, for somebody to look at. Texts of messages and annotations are not
changed. The score comes with its Wilson interval, for it is of a sample.

Every mutant lives in a process forked after the imports, and never on disk.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[2]
PARTS = {  # modules, and the tests that run against their mutants
    "crf": ("ner/crf/**/*.py", "test_crf_*.py"),
    "decoding": (
        "ner/inference/*decod*.py ner/inference/span*.py ner/schemes.py",
        "test_schemes.py test_inference_*.py",
    ),
    "metrics": (
        "ner/evaluation/{score,tags,partial,errors,intervals,pairs}.py",
        "test_evaluation_{score,errors,partial,exact,seqeval,intervals}.py",
    ),
    "reader": (
        "ner/formats/{conll,columns,lines,detection,table}.py",
        "test_formats_{detection,columns,paragraphs,conll,lines,conll_writing}.py",
    ),
}
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Div, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And, ast.LShift: ast.RShift,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "amax": "amin",
         "maximum": "minimum", "argmax": "argmin"}  # fmt: skip
SKIPPED = ("annotation", "returns", "decorator_list", "type_comment", "bases")
LEFT_OUT = (  # of the tests, for the time they take
    "not spread_evenly and not cover_the_truth and not torch_compile and not 2000_tokens "
    "and not 100000_tokens"
)
OPTIONS = ["-k", LEFT_OUT, "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=mutation",
           "-W", "ignore::pytest.PytestAssertRewriteWarning"]  # fmt: skip
LARGE = ("torch", "numpy", "hypothesis", "yaml", "seqeval.metrics", "nervaluate", "torchcrf",
         "safetensors.torch")  # fmt: skip
EXAMPLES = 25  # that hypothesis draws for a test
LIMIT = 4.0  # a mutant's tests may take so many times those of the code as it is, and 10 s more


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        path: The module's file.
        number: Which of the module's mutants it is.
        line: Where the change is.
        before, after: The code there.
    """

    path: Path
    number: int
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: `{self.before}` -> `{self.after}`"

    def code(self) -> CodeType:
        """The changed module."""
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        next(itertools.islice(changes(tree), self.number, None))
        return compile(ast.fix_missing_locations(tree), str(self.path), "exec")


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        Mutant(path, number, line, before, after)
        for number, (line, before, after) in enumerate(changes(tree))
    ]


def changes(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Change a tree in each way in turn; it goes back to what it was before the next one."""
    for parent, name, place in list(places(tree)):
        holder = getattr(parent, name)
        node = holder if place is None else holder[place]
        for new in variants(node):
            _put(parent, name, place, ast.copy_location(new, node))
            yield node.lineno, _short(node), _short(new)
            _put(parent, name, place, node)


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Where nodes that may be changed stand: the node above, its field, the place in a list."""
    for name, value in ast.iter_fields(node):
        if (
            name in SKIPPED
            or isinstance(node, ast.JoinedStr)
            or (isinstance(node, ast.Raise) and name == "exc")
        ):
            continue
        if isinstance(value, list):
            for place, item in enumerate(value):
                if isinstance(item, ast.AST) and not _inert(item):
                    yield node, name, place
                    yield from places(item)
        elif isinstance(value, ast.AST):
            yield node, name, None
            yield from places(value)


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed to."""
    for kind, changed in _KINDS.items():
        if isinstance(node, kind):
            yield from changed(node)


def _other_constants(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node.value, str):
        yield ast.Constant(f"XX{node.value}XX")


def _other_comparisons(node: ast.Compare) -> Iterator[ast.AST]:
    for place, operator in enumerate(node.ops):
        changed = copy.deepcopy(node)
        changed.ops[place] = SWAPS[type(operator)]()
        yield changed


def _other_operators(node: ast.BinOp | ast.BoolOp | ast.AugAssign) -> Iterator[ast.AST]:
    if type(node.op) in SWAPS:
        changed = copy.deepcopy(node)
        changed.op = SWAPS[type(node.op)]()
        yield changed


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
    if name in NAMES:
        changed = copy.deepcopy(node)
        field = "id" if isinstance(node.func, ast.Name) else "attr"
        setattr(changed.func, field, NAMES[name])
        yield changed
    for place in range(len(node.keywords)):
        changed = copy.deepcopy(node)
        del changed.keywords[place]
        yield changed


def _other_conditions(node: ast.If | ast.While) -> Iterator[ast.AST]:
    if isinstance(node.test, ast.Name | ast.Call | ast.Attribute):  # others are changed inside
        changed = copy.deepcopy(node)
        changed.test = ast.UnaryOp(ast.Not(), changed.test)
        yield changed


def _other_returns(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))


_KINDS: dict[Any, Callable[[Any], Iterable[ast.AST]]] = {
    ast.Constant: _other_constants,
    ast.Compare: _other_comparisons,
    ast.BinOp | ast.BoolOp | ast.AugAssign: _other_operators,
    ast.AugAssign | ast.Expr | ast.Raise: lambda node: [ast.Pass()],
    ast.UnaryOp: lambda node: [copy.deepcopy(node.operand)],
    ast.Call: _other_calls,
    ast.IfExp: lambda node: [ast.IfExp(node.test, node.orelse, node.body)],
    ast.If | ast.While: _other_conditions,
    ast.Return: _other_returns,
    ast.Break: lambda node: [ast.Continue()],
    ast.Continue: lambda node: [ast.Break()],
}


def _inert(node: ast.AST) -> bool:
    """Whether a node is text for people or for type checkers."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def _put(parent: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[place] = node


def _short(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0][:90]


class Finder(importlib.machinery.SourceFileLoader):
    """Gives one module the code of a mutant, as a finder and as its own loader."""

    def __init__(self, mutant: Mutant) -> None:
        parts = mutant.path.relative_to(ROOT).with_suffix("").parts
        super().__init__(".".join(parts).removesuffix(".__init__"), str(mutant.path))
        self.code = mutant.code()

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def passes(tests: Sequence[str]) -> bool:
    """Whether the tests pass on the code as it is; all that is large is imported by that."""
    kept = os.dup(1), os.dup(2), sys.stdout, sys.stderr
    known = set(sys.modules)
    status = _run_tests(None, tests)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(ROOT)):
            del sys.modules[name]  # for every mutant's process to import anew
    os.dup2(kept[0], 1)
    os.dup2(kept[1], 2)
    sys.stdout, sys.stderr = kept[2:]
    gc.collect()
    return status == 0


def outcome(mutant: Mutant, tests: Sequence[str], limit: float) -> str:
    """Run the tests in a process of their own: ``killed``, ``survived`` or ``timeout``."""
    child = os.fork()
    if child == 0:
        os._exit(_run_tests(mutant, tests))
    began = time.monotonic()
    while time.monotonic() - began < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if status == 0 else "killed"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


def _run_tests(mutant: Mutant | None, tests: Sequence[str]) -> int:
    import pytest
    from hypothesis import HealthCheck, settings

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.stdout = sys.stderr = io.StringIO()
    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    settings.register_profile(
        "mutation", deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        return int(pytest.main([*OPTIONS, *tests]))
    except BaseException:  # whatever a mutant does to pytest itself
        return 1


def _draw_less() -> None:
    """Let hypothesis draw few examples, whatever a test asks for."""
    from hypothesis import settings

    usual = settings.max_examples.fget
    type.__setattr__(settings, "max_examples", property(lambda own: min(usual(own), EXAMPLES)))


def interval(killed: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, killed / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    half /= 1 + z * z / count
    return middle - half, middle + half


def files(patterns: str, folder: Path = ROOT) -> list[Path]:
    """Return the files of glob patterns, in which braces hold alternatives."""
    found: list[Path] = []
    for one in patterns.split():
        before, brace, rest = one.partition("{")
        names, _, after = rest.partition("}")
        for name in names.split(",") if brace else [""]:
            here = sorted(folder.glob(before + name + after))
            if not here:
                raise SystemExit(f"no file is named {before + name + after}")
            found += here
    return found


def main() -> int:
    """Draw mutants and try them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--count", type=int, default=100, help="mutants drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="of those drawn, leave out the first")
    parser.add_argument("--only", type=int, help="of those drawn, try so many")
    parser.add_argument("--match", help="instead, every mutant whose text holds this")
    arguments = parser.parse_args()
    pattern, names = PARTS[arguments.part]
    tests = [str(path) for path in files(names, ROOT / "tests")]
    _draw_less()
    everything = [mutant for path in files(pattern) for mutant in mutants(path)]
    chosen = drawn(everything, arguments)
    if not chosen:
        parser.error(f"no mutant is left of the {len(everything):,} there are")
    for name in LARGE:  # imported before the forks, which then need not
        importlib.import_module(name)
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    began = time.monotonic()
    if not passes(tests):
        raise SystemExit("the tests fail on the code as it is")
    limit = LIMIT * (time.monotonic() - began) + 10.0
    found: dict[str, int] = {}
    for mutant in chosen:
        result = outcome(mutant, tests, limit)
        found[result] = found.get(result, 0) + 1
        if result == "survived":
            print(f"survived: {mutant}", flush=True)
    count, killed = len(chosen), len(chosen) - found.get("survived", 0)
    low, high = interval(killed, count)
    print(
        f"{arguments.part}: {killed} of {count} mutants killed ({found.get('timeout', 0)} by "
        f"taking too long), {100 * killed / count:.1f} % [{100 * low:.1f}, {100 * high:.1f}], "
        f"drawn from {len(everything):,}; {time.monotonic() - began:.0f} s"
    )
    return 0


def drawn(everything: Sequence[Mutant], arguments: argparse.Namespace) -> list[Mutant]:
    """The mutants asked for."""
    if arguments.match:
        return [mutant for mutant in everything if arguments.match in str(mutant)]
    count = min(arguments.count, len(everything))
    some = random.Random(arguments.seed).sample(everything, count)[arguments.skip :]
    return some[: arguments.only]


if __name__ == "__main__":
    raise SystemExit(main())

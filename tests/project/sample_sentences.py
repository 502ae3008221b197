"""Draw sentences of the project at random, for a reader who has not seen the code: are they understood at once?

Run `python -m tests.project.sample_sentences --seed 7`. Sources: docstrings, error texts, README and docs, prompts, and
test names. Each source gives the same share, since docstrings are many and errors few.
"""

import argparse
import ast
import random  # noqa: TID251 - seeded by the caller
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORTEST, LONGEST = 4, 60
"""Words of a sentence that is drawn."""


def sentences(text: str) -> Iterator[str]:
    """Split prose into sentences; code blocks, tables and headings are left out."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", text):
        if paragraph.lstrip().startswith(("|", "#", ">>>")):
            continue
        flat = " ".join(paragraph.split()).replace("**", "").lstrip("-* ")
        flat = re.sub(r"^\d+\. ", "", flat)
        for sentence in re.split(r"(?<=[.!?])(?<!\b[A-Z]\.)\s+(?=[A-Z`])", flat):
            if SHORTEST <= len(sentence.split()) <= LONGEST:
                yield sentence


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the sentences of all docstrings of the package, with their file and the name that they explain."""
    for path in sorted((ROOT / "ocw_mcp").rglob("*.py")):
        place = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for sentence in sentences(ast.get_docstring(node) or ""):
                    yield f"{place} {getattr(node, 'name', '')}".strip(), sentence
            if isinstance(node, ast.Module | ast.ClassDef):
                for name, text in _explained(node.body):
                    for sentence in sentences(text):
                        yield f"{place} {name}", sentence


def _explained(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield each constant or field that has a docstring below it."""
    for named, node in pairwise(body):
        if isinstance(named, ast.Assign | ast.AnnAssign) and isinstance(node, ast.Expr):
            target = named.targets[0] if isinstance(named, ast.Assign) else named.target
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield ast.unparse(target), node.value.value


def errors() -> Iterator[tuple[str, str]]:
    """Yield the texts of raised errors, with `{…}` for values."""
    for path in sorted((ROOT / "ocw_mcp").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            for argument in node.exc.args:
                text = "".join(_literal(part) for part in getattr(argument, "values", [argument]))
                # Values alone are no sentence.
                if len(re.sub(r"\{[^}]*\}?", "", text).split()) >= SHORTEST and len(text.split()) <= LONGEST:
                    yield str(path.relative_to(ROOT)), text


def _literal(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else f"{{{ast.unparse(node).strip('{}')[:30]}}}"


def pages(*patterns: str) -> Iterator[tuple[str, str]]:
    """Yield the sentences of Markdown files."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            for sentence in sentences(path.read_text(encoding="utf-8")):
                yield str(path.relative_to(ROOT)), sentence


def test_names() -> Iterator[tuple[str, str]]:
    """Yield the names of the tests, as words."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for found in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")):
            # A shorter name is an example within a test, such as `test_a`.
            if found.count("_") >= SHORTEST - 1:
                yield str(path.relative_to(ROOT)), found.replace("_", " ")


def draw(seed: int, count: int) -> list[tuple[str, str]]:
    """Return `count` sentences: two thirds docstrings and tests, one third errors, pages and prompts."""
    chance = random.Random(seed)
    sources = [
        (list(docstrings()), count * 2 // 5),
        (list(errors()), count // 5),
        (list(pages("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/*.md")), count // 6),
        (list(pages("prompts/*.md")), count // 12),
    ]
    drawn = [each for pool, share in sources for each in chance.sample(pool, min(share, len(pool)))]
    drawn += chance.sample(list(test_names()), count - len(drawn))
    chance.shuffle(drawn)
    return drawn


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=60)
    given = parser.parse_args()
    for number, (place, sentence) in enumerate(draw(given.seed, given.count), 1):
        print(f"{number:2}. [{place}] {sentence}")

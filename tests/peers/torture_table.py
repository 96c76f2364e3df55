"""The table of the torture set: printed by the test, kept in docs/conformance/geometry.md."""

from pathlib import Path

from torture_case import REFUSED, Case
from torture_run import WAYS, Verdict

PAGE = Path(__file__).resolve().parents[2] / "docs/conformance/geometry.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"


def row(number: int, case: Case, verdict: Verdict) -> str:
    expected = case.expected
    if case.expected == REFUSED:
        expected = f"refused: {words(case.says)}"
    elif case.ambiguous:
        expected = "refused without `--series`, exact with it"
    elif not case.regular:
        expected = "exact on the frames"
    cells = [str(number), case.name, expected, *(verdict.ways.get(way, "–") for way in WAYS)]
    return f"| {' | '.join(cells)} |"


def words(pattern: str) -> str:
    return " or ".join(f'"{word}"' for word in pattern.replace("?", "").split("|"))


def table(judged: list[tuple[Case, Verdict]]) -> str:
    heads = ["", "series", "expected", *WAYS]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [row(number, *entry) for number, entry in enumerate(judged, start=1)]
    return "\n".join(lines) + "\n"


def table_of_page() -> str:
    return PAGE.read_text().split(BEGIN)[1].split(END)[0]


def write_page(text: str) -> None:
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.split(END)[1])

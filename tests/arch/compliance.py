#!/usr/bin/env python3
"""Checks that engine/COMPLIANCE.md and the tests it names agree. compliance.py ROOT [--self-test]

A row of the page is `| requirement | level | in our words | answer | tests, reason |` below a heading
`## RFC nnnn …`. Tests are written `file/function` in back quotes.
"""
import pathlib
import re
import sys

HEADING = re.compile(r"^## RFC (\d+)")
ROW = re.compile(r"^\| (REQ-\d+[a-z]?|§[\d.]+) \|(.*)\|\s*$")
TEST = re.compile(r"`(\w+_test)/(\w+)`")
COMMENT = re.compile(r"^\s*// (RFC \d+ (?:REQ-\d+[a-z]?|§\d+(?:\.\d+)*))")
FUNCTION = re.compile(r"^\s*void (\w+)\(")
TOTALS = re.compile(r"(\d+) yes, (\d+) partly, (\d+) no")
ANSWERS = ("yes", "partly", "no")
LEVELS = ("MUST", "SHOULD", "MAY", "text")


def rows_of(page):
    """(requirement, level, words, answer, evidence) of every row."""
    rfc = None
    for line in page.splitlines():
        heading = HEADING.match(line)
        if heading:
            rfc = heading.group(1)
        row = ROW.match(line)
        if row and rfc:
            cells = [cell.strip() for cell in row.group(2).split(" | ")]
            cells += [""] * (4 - len(cells))
            yield (f"RFC {rfc} {row.group(1)}", *cells[:4])


def tests_of(text):
    """The test functions of a source, with the requirements that stand above each."""
    above = set()
    for line in text.splitlines():
        comment = COMMENT.match(line)
        function = FUNCTION.match(line)
        if comment:
            above.add(comment.group(1))
        elif function:
            yield function.group(1), above
            above = set()
        elif not line.strip().startswith("//"):
            above = set()


def problems_of(page, sources):
    """`sources`: name of a test program -> (its text, whether it is a test of requirements)."""
    problems = []
    tests = {}
    claimed = {}
    for name, (text, of_requirements) in sources.items():
        for function, above in tests_of(text):
            tests[f"{name}/{function}"] = above
            if of_requirements:
                for requirement in above:
                    claimed.setdefault(requirement, f"{name}/{function}")
    known = set()
    counts = dict.fromkeys(ANSWERS, 0)
    for requirement, level, words, answer, evidence in rows_of(page):
        if requirement in known:
            problems.append(f"{requirement}: two rows")
        known.add(requirement)
        if level not in LEVELS:
            problems.append(f"{requirement}: level {level!r}")
        if answer not in ANSWERS:
            problems.append(f"{requirement}: answer {answer!r}")
            continue
        counts[answer] += 1
        if len(words) < 10:
            problems.append(f"{requirement}: not said in words")
        named = ["/".join(found) for found in TEST.findall(evidence)]
        for test in named:
            if test not in tests:
                problems.append(f"{requirement}: no such test: {test}")
        reason = TEST.sub("", evidence).strip(" ,.;")
        if answer in ("no", "partly") and len(reason) < 15:
            problems.append(f"{requirement}: {answer} without a reason")
        if answer == "yes" and not named or answer == "partly" and level == "MUST" and not named:
            problems.append(f"{requirement}: {answer} without a test")
        if named and not any(requirement in tests.get(test, ()) for test in named):
            problems.append(f"{requirement}: no test it names carries it in a comment")
    for requirement, test in sorted(claimed.items()):
        if requirement not in known:
            problems.append(f"{requirement}: in {test}, but not in the page")
    totals = TOTALS.search(page)
    counted = tuple(counts[answer] for answer in ANSWERS)
    if not totals or tuple(map(int, totals.groups())) != counted:
        problems.append("the page's totals are not {} yes, {} partly, {} no".format(*counted))
    return problems


def check(root):
    sources = {path.stem: (path.read_text(), path.parent.name == "compliance")
               for path in sorted((root / "tests" / "engine").rglob("*_test.cpp"))}
    return problems_of((root / "engine" / "COMPLIANCE.md").read_text(), sources)


def self_test():
    good_page = ("1 yes, 1 partly, 1 no\n## RFC 1 x\n"
                 "| REQ-1 | MUST | does the thing asked | yes | `a_test/f` |\n"
                 "| REQ-2 | MUST | does another thing | partly | `a_test/g`. Not on Sundays, so far. |\n"
                 "| §3.1 | MAY | does a third thing | no | Nobody has ever wanted it. |\n")
    good = ("    // RFC 1 REQ-1\n    // and why\n    void f()\n"
            "    // RFC 1 REQ-2: more\n    void g()\n")
    wrong = {
        "a test that is not there": (good_page.replace("/f", "/h"), good),
        "a MUST without a test": (good_page.replace("`a_test/f`", "by design"), good),
        "a no without a reason": (good_page.replace("Nobody has ever wanted it.", "-"), good),
        "a partly without a reason": (good_page.replace(" Not on Sundays, so far.", ""), good),
        "a comment without a row": (good_page, good + "// RFC 1 REQ-9\nvoid k()\n"),
        "a test of something else": (good_page.replace("/f", "/g"), good),
        "wrong totals": (good_page.replace("1 yes", "2 yes"), good),
        "an unknown answer": (good_page.replace("| yes |", "| sure |"), good),
    }
    sources = {"a_test": (good, True)}
    problems = [f"wrongly found: {found}" for found in problems_of(good_page, sources)]
    for what, (page, text) in wrong.items():
        if not problems_of(page, {"a_test": (text, True)}):
            problems.append(f"not found: {what}")
    return problems


if __name__ == "__main__":
    found = self_test() if "--self-test" in sys.argv else check(pathlib.Path(sys.argv[1]))
    print("\n".join(found) or "ok")
    sys.exit(1 if found else 0)

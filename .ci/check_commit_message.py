"""Check a commit message as CONTRIBUTING asks: imperative subject of at most 72 characters, and a body that says why."""

import re
import sys
from pathlib import Path


def problems(message: str) -> list[str]:
    """Return what is wrong with a commit message, one line each."""
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    subject = lines[0] if lines else ""
    if re.match(r"(Merge|Revert|fixup!|squash!) ", subject):
        return []
    found = []
    if not subject.strip():
        found.append("the first line is empty: write a subject")
    if len(subject) > 72:
        found.append(f"the subject has {len(subject)} characters: at most 72")
    if subject.endswith("."):
        found.append("the subject ends with a full stop: leave it out")
    if re.match(r"[a-z]+(\([^)]*\))?: ", subject) or subject[:1].islower():
        found.append("the subject begins in lower case: write a sentence in the imperative, such as 'Read ISIC 2020'")
    if len(lines) > 1 and lines[1].strip():
        found.append("the second line is not empty")
    if not any(line.strip() for line in lines[2:]):
        found.append("there is no body: say why")
    return found


if __name__ == "__main__":
    complaints = problems(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for complaint in complaints:
        print(f"commit message: {complaint}", file=sys.stderr)
    sys.exit(bool(complaints))

"""What can be said of rows without a tokenizer: those that do not fit, empties, duplicates, leaks, missing answers.

Fed one row at a time; memory does not grow with the data but for row numbers (bounded).
"""

from __future__ import annotations

from array import array

from peft_studio.core.data.example import ASSISTANT, Example, RowMisfit
from peft_studio.core.data.findings import Finding, Severity
from peft_studio.core.data.scan import MOST_NUMBERS
from peft_studio.core.data.seen import RowsSeen, digest_of_example
from peft_studio.core.data.turns import NUMBER_AS_TEXT, PARTS_JOINED, ROLE_RENAMED

# code → severity, what the rows are, what to do.
_TEXTS: dict[str, tuple[Severity, str, str]] = {
    "row-misfit": ("blocking", "Rows that do not fit the format", "Mend them, map columns by hand, or leave them out."),
    "no-answer": ("blocking", "Conversations without an assistant turn, in which nothing is learnt", "Leave them out."),
    "leaks": (
        "warning",
        "Rows that stand in training and in evaluation, so that the evaluation flatters",
        "Leave them out.",
    ),
    "duplicates": (
        "warning",
        "Rows that repeat an earlier one exactly and so weigh double",
        "Leave them out, unless meant.",
    ),
    "empty-answer": (
        "warning",
        "Rows with an empty answer, from which the model learns to say nothing",
        "Fill or leave them out.",
    ),
    "empty-prompt": ("warning", "Rows with an empty question", "Fill them or leave them out."),
    "empty-text": ("warning", "Rows without text", "Leave them out."),
    NUMBER_AS_TEXT: (
        "warning",
        "Rows with a number where text belongs; it is trained as written, such as '42'",
        "Write text.",
    ),
    PARTS_JOINED: ("info", "Rows with content in parts; their texts are joined", ""),
    ROLE_RENAMED: ("info", "Rows with other words for roles, read as user, assistant or tool", ""),
    "open-end": (
        "info",
        "Conversations that do not end with the assistant; what follows its last turn is not learnt",
        "",
    ),
}
_NOT_TO_LEAVE_OUT = (NUMBER_AS_TEXT, PARTS_JOINED, ROLE_RENAMED, "open-end")


class RowChecks:
    """Collects what is found in the rows of one data set; ``findings()`` at the end."""

    def __init__(self, rows: int) -> None:
        self.train_rows = 0
        self.eval_rows = 0
        self.seen = RowsSeen(rows)
        self.found: dict[str, array[int]] = {code: array("Q") for code in _TEXTS}
        self.counts = dict.fromkeys(_TEXTS, 0)
        self.reasons: list[str] = []

    def see(self, example: Example, *, held_out: bool) -> None:
        """Check one row that fits the format."""
        self.train_rows += not held_out
        self.eval_rows += held_out
        for note in example.notes:
            self._note(note, example.row)
        again = self.seen.see(digest_of_example(example), held_out=held_out)
        if again != "new":
            self._note("leaks" if again == "leak" else "duplicates", example.row)
        if example.text is not None:
            if not example.text.strip():
                self._note("empty-text", example.row)
            return
        self._see_turns(example)

    def see_misfit(self, error: RowMisfit) -> None:
        """Note a row that is not broken, but is no row of the recognised format."""
        self._note("row-misfit", error.row)
        if len(self.reasons) < 3:
            self.reasons.append(error.why)

    def _see_turns(self, example: Example) -> None:
        messages = example.messages or ()
        answers = [m for m in messages if m.role == ASSISTANT]
        if not answers:
            self._note("no-answer", example.row)
            return
        if any(not m.content.strip() and not m.extra for m in answers):
            self._note("empty-answer", example.row)
        if any(not m.content.strip() for m in messages if m.role == "user"):
            self._note("empty-prompt", example.row)
        if messages[-1].role != ASSISTANT:
            self._note("open-end", example.row)

    def _note(self, code: str, row: int) -> None:
        self.counts[code] += 1
        if len(self.found[code]) < MOST_NUMBERS:
            self.found[code].append(row)

    def findings(self) -> list[Finding]:
        """What was found, in the order of the table above."""
        found = []
        for code, (severity, message, fix) in _TEXTS.items():
            count = self.counts[code]
            if count:
                reasons = f" ({'; '.join(self.reasons)})" if code == "row-misfit" else ""
                finding = Finding(code, severity, f"{message}: {count:,}{reasons}.", fix=fix)
                found.append(finding.on(self.found[code], count=count, can_leave_out=code not in _NOT_TO_LEAVE_OUT))
        if self.seen.full:
            message = f"Duplicates were looked for among the first {self.seen.compared:,} rows only."
            found.append(Finding("duplicates-part", "info", message))
        if not self.train_rows:
            found.append(
                Finding("no-train-rows", "blocking", "No row is left to train on.", fix="Hold out or leave out fewer.")
            )
        return found

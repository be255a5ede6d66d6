"""Preflight of the rows: whether there are any, whether they can be trained on, and what their report says."""

from __future__ import annotations

from collections.abc import Iterator

from peft_studio.core.services.check.ground import Ground
from peft_studio.core.services.check.problem import Problem


def check_rows(ground: Ground) -> Iterator[Problem]:
    """The format and the number of rows, then the report: template, masks, cuts."""
    spec = ground.spec
    if spec.data.format == "preference":
        text = "These rows are preference pairs (chosen and rejected). Training on preferences is not built yet."
        fix = "Map the chosen answers: studio.data(…, columns={'completion': 'chosen'})."
        yield Problem("preference_data", "blocking", text, fix, "data")
    if spec.basis.train_rows == 0:
        fix = "Choose a smaller split, or leave fewer rows out."
        yield Problem("no_rows", "blocking", "There is no row to train on.", fix, "data")
    if spec.eval_steps and not ground.data.sizes[1]:
        text = f"Evaluation is asked for every {spec.eval_steps} steps, but no row is held out."
        fix = "Hold some out: studio.data(…, split=0.1)."
        yield Problem("nothing_to_evaluate", "warning", text, fix, "eval_steps", {"eval_steps": None})
    for finding in ground.report.findings if ground.report else ():
        if finding.severity != "info":
            changes = {key: value for key, value in (finding.fix_action or {}).items() if key != "leave_out"}
            yield Problem(f"data_{finding.code}", finding.severity, finding.message, finding.fix, "data", changes)

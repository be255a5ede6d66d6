"""What the tokens of a data set mean for training: figures of :class:`TokenChecks` → findings, each with a fix."""

from __future__ import annotations

from dataclasses import replace

from peft_studio.core.data.findings import Finding, Severity
from peft_studio.core.data.token_checks import TokenChecks

# Of a sample, up to this share of rows without a learnable token is only warned of: leaving out those that it shows
# would not rid the rest of them, and a few such rows in a large set do no more harm than to waste their time.
_FEW = 0.01


def token_findings(tokens: TokenChecks, *, sampled: bool) -> list[Finding]:
    """What was found; of a sample, no fix claims to name every row."""
    found = [
        *_refused(tokens),
        *_nothing_learnt(tokens, sampled=sampled),
        *_without_stop(tokens),
        *_over_context(tokens),
        *_cut(tokens),
        *_masks(tokens),
        *_template(tokens),
    ]
    return [replace(finding, fix_action=_without_rows(finding)) for finding in found] if sampled else found


def _refused(tokens: TokenChecks) -> list[Finding]:
    rows = tokens.rows["refused"]
    if not rows:
        return []
    name = tokens.encoder.name
    if tokens.encoder.template is None:
        text = f"{name} has no chat template, which conversations need. Rows: {len(rows):,}."
        fix = (
            "Choose a model made for chat, or give this one the ChatML template, which ends turns with its own EOS: "
            "peft_studio.core.data.write_chatml(folder of the model)."
        )
        return [Finding("no-template", "blocking", text, fix=fix).on(rows, can_leave_out=False)]
    text = f"Rows that the chat template of {name} does not take: {len(rows):,} ({' '.join(tokens.refusals)})."
    fix = "Change the order or roles of their turns, or leave them out."
    return [Finding("template-refuses", "blocking", text, fix=fix).on(rows)]


def _nothing_learnt(tokens: TokenChecks, *, sampled: bool) -> list[Finding]:
    rows, counted = tokens.rows["nothing-learnt"], len(tokens.lengths)
    if not rows:
        return []
    severity: Severity = "warning" if sampled and len(rows) < _FEW * counted else "blocking"
    text = f"Rows with no trainable token: {len(rows):,} of {counted:,}; nothing would be learnt from them."
    fix = "Raise max_length if their prompts fill it, else leave them out."
    return [Finding("no-trainable-token", severity, text, fix=fix).on(rows)]


def _without_stop(tokens: TokenChecks) -> list[Finding]:
    rows, encoder = tokens.rows["no-stop"], tokens.encoder
    if encoder.eos_id is None:
        text = f"{encoder.name} names no EOS token, so it cannot learn to stop."
        return [Finding("no-eos-token", "blocking", text, fix="Set eos_token in the model's tokenizer_config.json.")]
    if not rows:
        return []
    text = f"Rows not learnt up to an EOS token: {len(rows):,} of {len(tokens.lengths):,}; it would not learn to stop."
    fix = f"Use a chat template that ends the assistant's turn with one of {', '.join(encoder.stops)}."
    return [Finding("no-eos", "warning", text, fix=fix).on(rows, can_leave_out=False)]


def _over_context(tokens: TokenChecks) -> list[Finding]:
    context = tokens.encoder.context_tokens
    if not tokens.max_length or not context or tokens.max_length <= context:
        return []
    text = f"max_length {tokens.max_length:,} is more than the model's context of {context:,} tokens."
    fix = f"Use {context:,} or less."
    return [Finding("over-context", "blocking", text, fix=fix, fix_action={"max_length": context})]


def _cut(tokens: TokenChecks) -> list[Finding]:
    rows = tokens.rows["cut"]
    if not rows:
        return []
    longest = max(tokens.lengths)
    room = min(longest, tokens.encoder.context_tokens or longest)
    share = tokens.cut_tokens / sum(tokens.lengths)
    text = (
        f"Rows longer than {tokens.max_length:,} tokens: {len(rows):,} of {len(tokens.lengths):,}; their ends, EOS "
        f"included, are cut: {tokens.cut_tokens:,} tokens or {share:.1%} of all."
    )
    kept = "all" if room == longest else "as much as the model can read"
    fix = f"max_length={room} keeps {kept}; or split long rows."
    action = {"max_length": room} if room > (tokens.max_length or 0) else None
    return [Finding("cut", "warning", text, fix=fix, fix_action=action).on(rows, can_leave_out=False)]


def _masks(tokens: TokenChecks) -> list[Finding]:
    found = []
    if rows := tokens.rows["mask-whole"]:
        text = f"Rows whose answers could not be told from the rest: {len(rows):,}; all that is in them is learnt."
        fix = "Put {% generation %} … {% endgeneration %} around the answer in the model's chat_template.jinja."
        found.append(Finding("mask-unknown", "warning", text, fix=fix).on(rows, can_leave_out=False))
    if rows := tokens.rows["mask-indirect"]:
        text = (
            f"Rows in which the template changes earlier turns; their answers were found all the same: {len(rows):,}."
        )
        found.append(Finding("mask-indirect", "info", text).on(rows, can_leave_out=False))
    if rows := tokens.rows["control-tokens"]:
        text = f"Rows with control tokens of the model in their text, which it will read as such: {len(rows):,}."
        fix = "If they are written out with a template already, map that column as text; else take the tokens out."
        found.append(Finding("control-tokens", "warning", text, fix=fix).on(rows))
    if rows := tokens.rows["plain-pairs"]:
        text = f"{tokens.encoder.name} has no chat template: prompt and answer are joined as they stand."
        found.append(Finding("plain-pairs", "info", text, fix="Ask it the same way later: without a template."))
    return found


def _template(tokens: TokenChecks) -> list[Finding]:
    template = tokens.encoder.template
    if template is None or "strftime_now" not in template.source:
        return []
    text = "The chat template can write the date of the day into a row, so that its tokens differ from day to day."
    return [
        Finding("dated-template", "warning", text, fix="Put a chat_template.jinja with a fixed date into the folder.")
    ]


def _without_rows(finding: Finding) -> dict[str, object] | None:
    action = {key: value for key, value in (finding.fix_action or {}).items() if key != "leave_out"}
    return action or None

from __future__ import annotations

from peft_studio.core.markup import escape, facts, finding_line, visible


def test_text_stays_readable_and_harmless() -> None:
    """Letters of any script, line ends and tabs stay; markup is escaped; what moves the cursor or turns text is written out."""
    assert visible("plain\n\té日本 😀") == "plain\n\té日本 😀"
    assert visible("\x1b[31m\u202e\u200b\r") == "<U+001B>[31m<U+202E><U+200B><U+000D>"
    assert escape("<a href='x'>&\x00") == "&lt;a href=&#x27;x&#x27;&gt;&amp;&lt;U+0000&gt;"


def test_every_piece_escapes_what_it_is_given() -> None:
    """Names, values, messages and fixes alike."""
    for html in (facts([("<i>", "<i>")]), finding_line("info", "<i>", "<i>")):
        assert "<i>" not in html
        assert html.count("&lt;i&gt;") == 2

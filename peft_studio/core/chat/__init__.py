"""Talking to a base model and its adapters, which live in a process of their own."""

from peft_studio.core.chat.client import Chat
from peft_studio.core.chat.joining import BaseDoubt
from peft_studio.core.chat.reply import Reply

__all__ = ["BaseDoubt", "Chat", "Reply"]

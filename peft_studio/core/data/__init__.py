"""Data sets for training: read, recognise, map, check and show rows exactly as they will be trained. No torch here."""

from peft_studio.core.data.dataset import Dataset
from peft_studio.core.data.encode import Encoded, Encoder
from peft_studio.core.data.encoder_files import load_encoder, write_chatml
from peft_studio.core.data.example import Example, Message, RowMisfit
from peft_studio.core.data.findings import Finding
from peft_studio.core.data.formats import FORMATS, Recognised
from peft_studio.core.data.opening import open_data, open_ref
from peft_studio.core.data.preview import Preview
from peft_studio.core.data.report import Report
from peft_studio.core.data.template import CHATML, ChatTemplate

__all__ = [
    "CHATML",
    "FORMATS",
    "ChatTemplate",
    "Dataset",
    "Encoded",
    "Encoder",
    "Example",
    "Finding",
    "Message",
    "Preview",
    "Recognised",
    "Report",
    "RowMisfit",
    "load_encoder",
    "open_data",
    "open_ref",
    "write_chatml",
]

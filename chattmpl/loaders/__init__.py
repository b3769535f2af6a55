"""Loading conversations from files and from the records of data sets, in the shapes that people use."""

from __future__ import annotations

from chattmpl.loaders.files import load_conversation, load_conversations, parse_text
from chattmpl.loaders.shapes import SHAPES, Shape, detect_shape, parse_record

__all__ = ["SHAPES", "Shape", "detect_shape", "load_conversation", "load_conversations", "parse_record", "parse_text"]

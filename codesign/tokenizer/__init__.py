"""Text to token ids and back, for the tokenizer.json of a Hugging Face folder and for the vocabulary in a GGUF file."""

from codesign.tokenizer.chat import Chat
from codesign.tokenizer.model import TokenizerError
from codesign.tokenizer.tokenizer import TextStream, Tokenizer

__all__ = ["Chat", "TextStream", "Tokenizer", "TokenizerError"]

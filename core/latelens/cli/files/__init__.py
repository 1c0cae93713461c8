"""Files as text: found, read and decoded, with what a reader must know about each."""

from latelens.cli.files.finding import DOCUMENTS, PAGES, STDIN, FoundFiles, find_files
from latelens.cli.files.reading import FileText, UnreadableFile, read_file

__all__ = ["DOCUMENTS", "PAGES", "STDIN", "FileText", "FoundFiles", "UnreadableFile", "find_files", "read_file"]

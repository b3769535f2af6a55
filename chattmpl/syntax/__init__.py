"""The source text of templates: lexer, syntax tree and edits."""

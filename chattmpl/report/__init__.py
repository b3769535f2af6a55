"""Reports for terminals, HTML pages and programs.

`picture` describes a rendering independent of the format; `terminal` and `page` draw it. Modules that need ``rich`` are
imported only when their format is asked for, because importing it takes time.
"""

"""Reports: renderings and families as a terminal, a page or a program wants them.

``picture`` says what there is to see, and knows no format; ``terminal``, ``page`` and ``records`` draw it. Each is
imported where it is asked for: ``rich`` costs time that plain text should not pay.
"""

"""CT101."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chattmpl.diagnostic import TemplateDiagnostic
from chattmpl.lint.context import Subject
from chattmpl.lint.rule import Rule

_TRAINING = re.compile(r"(?i)training|_train\b|\bloss\b|\bmask(?:s|ing)?\b")
_TAG = re.compile(r"\{%[-+]?\s*generation\b")


class NoGenerationTags(Rule):
    r"""The template has no generation tag.

    ## What it does

    Reports templates without any `{% generation %}` tag.

    It is a warning where the file's name or its first comment says that it is there to train.

    ## Why is this bad?

    Without tags nobody knows which characters the model samples: `assistant_only_loss` and masks are all zeros, with
    no more than one warning in a log. A template that only serves needs no tags, so this is for information.

    ## Example

    ```jinja
    {{ '<|im_start|>assistant\n' + message.content + '<|im_end|>' }}
    ```

    ## Use instead

    ```jinja
    <|im_start|>assistant
    {% generation %}{{ message.content }}<|im_end|>{% endgeneration %}
    ```
    """

    code = "CT101"
    name = "no-generation-tags"
    severity = "info"

    def check(self, subject: Subject) -> Iterator[TemplateDiagnostic]:
        """The findings in one template."""
        if subject.generation or any(_TAG.search(text) for _, text in subject.comments):
            return
        # A template whose head says that it is there to train has lost them.
        meant = any(
            _TRAINING.search(text) for text in (subject.found.source.name, *(text for _, text in subject.comments[:1]))
        )
        yield self.finding(
            subject.top(),
            "no generation tag: nothing of a conversation would be trained on",
            "put {% generation %}…{% endgeneration %} around what the model samples, its stop token included",
            severity="warning" if meant else None,
        )

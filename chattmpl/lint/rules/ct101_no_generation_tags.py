import re

from chattmpl.lint.rule import Findings, LintContext, Rule

_TRAINING = re.compile(r"(?i)training|_train\b|\bloss\b|\bmask(?:s|ing)?\b")
_TAG = re.compile(r"\{%[-+]?\s*generation\b")


class NoGenerationTags(Rule):
    """The template has no generation tags.

    Reports templates without a `{% generation %}` tag.

    This is a warning if the name of the file or its first comment says that the template is for training.

    ## Why is this bad?

    Without tags, trainers cannot tell which characters the model samples: with `assistant_only_loss` the mask is all
    zeros, with a single warning in the log. A template for inference needs no tags, so this is only a note.
    """

    example = r"{{ '<|im_start|>assistant\n' + message.content + '<|im_end|>' }}"
    use_instead = "<|im_start|>assistant\n{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}"
    severity = "info"
    message = "no generation tags: the training mask would be empty"
    hint = "chattmpl annotate puts {% generation %} around what the model samples; chattmpl encode needs no tags"

    def check(self, subject: LintContext) -> Findings:
        if subject.generation or any(_TAG.search(comment.value) for comment in subject.comments):
            return
        # A template that says it is for training must have lost its tags.
        head = [subject.found.source.name, *(comment.value for comment in subject.comments[:1])]
        meant = any(_TRAINING.search(text) for text in head)
        yield self.finding(subject.top(), severity="warning" if meant else None)

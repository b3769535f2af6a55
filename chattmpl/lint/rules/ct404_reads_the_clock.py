from chattmpl.lint.rule import Findings, LintContext, Rule


class ReadsTheClock(Rule):
    """The template reads the wall clock.

    Reports the first use of `strftime_now`.

    ## Why is this bad?

    The same conversation renders differently tomorrow: a training run cannot be repeated, caches miss, and a date in
    the system turn teaches the model that it is always the day of training. Not every engine has the function.
    """

    example = "{{ 'Today is ' + strftime_now('%d %B %Y') }}"
    use_instead = "{% if date_string is defined %}{{ 'Today is ' + date_string }}{% endif %}"
    severity = "warning"
    message = "strftime_now reads the wall clock: the same conversation renders differently on another day"
    hint = "take the date from a template kwarg, or render with a fixed clock (chattmpl's clock=…)"
    explains = ("CT211:line",)
    law = "steady"

    def check(self, subject: LintContext) -> Findings:
        # Also if it is assigned to another name.
        for name in subject.tree.read.get("strftime_now", [])[:1]:
            yield self.finding(subject.word(name))

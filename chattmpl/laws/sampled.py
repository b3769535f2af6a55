"""The law `sampled`."""

from __future__ import annotations

from chattmpl.laws.law import Case, Law
from chattmpl.laws.outcome import DoesNotApply, Holds, Outcome


class Sampled(Law):
    """Each generated span stands exactly after the prompt that the model will see.

    For each assistant turn *i*, ``render(messages[:i], add_generation_prompt=True)`` is exactly the text before the
    turn's generated span, and the span is what the turn renders to when it is the last one. So no header, no prefilled
    think opener and nothing else that the prompt supplies is trained, and nothing that was sampled is missing.
    """

    name = "sampled"
    order = 1

    def check(self, case: Case) -> Outcome:
        """Compare each turn with its prompt, and with itself as the last turn."""
        turns = case.assistant_turns()
        if not turns:
            return DoesNotApply("there is no assistant message")
        if not case.template.program.has_generation:
            return DoesNotApply("the template has no generation tag")
        text = case.rendering.text
        for turn in turns:
            span = case.generated(turn)
            if span is None:
                return self.broken(
                    case, f"nothing of messages[{turn}] is generated", hint="put its text inside {% generation %}"
                )
            prompt = case.head(turn, prompt=True).text
            if text[: span[0]] != prompt:
                return self._not_the_prompt(case, turn, span[0], prompt)
            last = case.head(turn + 1)
            alone = case.generated(turn, last)
            if alone is None or last.text[alone[0] : alone[1]] != text[span[0] : span[1]]:
                return self.broken(
                    case,
                    f"in history messages[{turn}] is not rendered as it was sampled",
                    expected=last.text[: alone[1]] if alone else last.text,
                    got=text[: span[1]],
                    place=case.place_of_difference(last, case.rendering),
                    hint="use retention 'all', or train on one row for each assistant turn",
                )
        return Holds()

    def _not_the_prompt(self, case: Case, turn: int, start: int, prompt: str) -> Outcome:
        text = case.rendering.text
        place = case.place_at(case.rendering, start)
        if prompt.startswith(text[:start]) and text.startswith(prompt):
            extra = prompt[start:]
            message = f"messages[{turn}] trains {extra!r}, which its prompt supplies"
            hint = "begin the generation tag after what add_generation_prompt writes"
        elif text.startswith(prompt):
            message = (
                f"between the prompt and the generated span of messages[{turn}] stands {text[len(prompt) : start]!r}"
            )
            hint = "begin the generation tag where the prompt ends, or let add_generation_prompt write this too"
        else:
            message = f"the prompt of messages[{turn}] is not how the text before it begins"
            hint = "render history and prompt in the same way"
            place = case.place_of_difference(case.head(turn, prompt=True), case.rendering)
        return self.broken(case, message, expected=prompt, got=text[:start], place=place, hint=hint)

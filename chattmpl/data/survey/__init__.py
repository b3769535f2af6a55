"""Looking at the rows of data sets without writing any: read once, encoded, on several processes, in order."""

from __future__ import annotations

from chattmpl.data.survey.reasoning_mode import Mode, Switch, find_switch, messages_of, mode_shown, modes_asked, thinks
from chattmpl.data.survey.visit import Data, Looker, Surveyed, Taken, survey

__all__ = [
    "Data",
    "Looker",
    "Mode",
    "Surveyed",
    "Switch",
    "Taken",
    "find_switch",
    "messages_of",
    "mode_shown",
    "modes_asked",
    "survey",
    "thinks",
]

"""AU601."""

from __future__ import annotations

from collections.abc import Iterator

from chattmpl.data.audit.check import Kind, Whole
from chattmpl.data.audit.settings import Settings
from chattmpl.data.audit.totals import Totals


class ShareOfTokens(Kind):
    """A source's share of tokens is far from its share of examples.

    ## What it does

    Reports sources whose two shares differ by a factor of `--share-ratio` (2) or more and by `--share-points`
    (0.05) or more. Of a mixture, what it draws counts.

    ## Why is this bad?

    Losses are averages over tokens: a source with few long rows outweighs the others, and a mixture that was tuned
    by examples is not the one that is trained.

    ## What to do

    Give shares of tokens in the mixture (`share_of: tokens`), or know it.
    """

    code = "AU601"
    name = "share-of-tokens"
    severity = "warning"
    says = "{key} has {detail}"
    hint = "give shares of tokens in the mixture (share_of: tokens)"

    def whole(self, totals: Totals, settings: Settings) -> Iterator[Whole]:
        """What is wrong with all rows together."""
        if len(totals.sources) < 2 or not totals.tokens:
            return
        for name, source in totals.sources.items():
            examples, tokens = source.drawn / totals.drawn, source.tokens / totals.tokens
            least, most = sorted((examples, tokens))
            if most - least >= settings.share_points and most >= settings.share_ratio * least:
                detail = f"{tokens:.1%} of the tokens and {examples:.1%} of the examples"
                yield Whole(name, source.encoded, detail=detail, sources={name: source.encoded})

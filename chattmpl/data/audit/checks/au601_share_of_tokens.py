from chattmpl.data.audit.check import AuditSettings, Check, DatasetFinding, DatasetFindings, Totals


class ShareOfTokens(Check):
    """A source's share of tokens is far from its share of examples.

    Reports sources whose two shares differ by a factor of at least `--share-ratio` (2) and by at least `--share-points`
    (0.05). In a mixture, the drawn examples count.

    ## Why is this bad?

    The loss is an average over tokens: a source with few long rows outweighs the others, and the trained mixture is not
    the one that was tuned by examples.

    ## What to do

    Specify shares of tokens in the mixture (`share_of: tokens`), or accept the difference.
    """

    severity = "warning"
    message = "{key} has {detail}"
    hint = "specify shares of tokens in the mixture (share_of: tokens)"

    def check_dataset(self, totals: Totals, settings: AuditSettings) -> DatasetFindings:
        if len(totals.sources) < 2 or not totals.tokens:
            return
        for name, source in totals.sources.items():
            examples, tokens = source.drawn / totals.drawn, source.tokens / totals.tokens
            least, most = sorted((examples, tokens))
            if most - least >= settings.share_points and most >= settings.share_ratio * least:
                detail = f"{tokens:.1%} of the tokens and {examples:.1%} of the examples"
                yield DatasetFinding(name, source.encoded, detail=detail, sources={name: source.encoded})

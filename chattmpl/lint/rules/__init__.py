"""The rules, one module each. There is no list of them: `chattmpl.lint.rule.rules` finds them here."""

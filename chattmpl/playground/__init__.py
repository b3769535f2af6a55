"""The playground: a local web page that shows the effect of a template while it is edited."""

"""The playground: a local page that shows what a template does while it is written."""

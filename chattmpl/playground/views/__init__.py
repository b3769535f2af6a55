"""The views of the playground: pure functions from a state to data, without a browser or a web server."""

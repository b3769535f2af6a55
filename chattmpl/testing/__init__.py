"""What the pytest plugin does where it is used; the plugin itself imports this package only then."""

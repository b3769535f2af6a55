"""Other engines that serve chat templates."""

"""What test modules share: tests/ is on the path (pyproject.toml), so it is `helpers`."""

"""Small problems that methods solve."""

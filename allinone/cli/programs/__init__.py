"""What the programs do once their arguments are parsed."""

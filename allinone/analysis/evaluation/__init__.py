"""Analysis of the predictions of one checkpoint, and the page that shows it."""

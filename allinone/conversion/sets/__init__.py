"""A module a data set; its function ``data_set(**options)`` says what is to be converted."""

"""One module per data set; its function ``data_set(source, **options)`` describes the set."""

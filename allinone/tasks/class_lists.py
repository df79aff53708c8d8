"""What may number the classes of a data set."""

METAINFO, CATEGORIES, FOLDERS = 'metainfo.classes', 'categories', 'class folders'
ClassLists = dict[str, list[str]]

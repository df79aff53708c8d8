"""Classes of the toy data sets, and the colours they are drawn in."""

SCENE_CLASSES = (
    'day_quiet',
    'day_busy',
    'overcast_quiet',
    'overcast_busy',
    'dusk_quiet',
    'dusk_busy',
    'night_quiet',
    'night_busy',
)
DET_CLASSES = ('vehicle', 'pedestrian', 'sign')
SEG_CLASSES = ('sky', 'building', 'road', 'pavement', 'tree', 'vehicle', 'sign')
SEG_PALETTE = (
    (70, 130, 180),
    (70, 70, 70),
    (128, 64, 128),
    (244, 35, 232),
    (107, 142, 35),
    (0, 0, 142),
    (220, 220, 0),
)
SKY, BUILDING, ROAD, PAVEMENT, TREE, VEHICLE, SIGN = range(len(SEG_CLASSES))
IGNORE = 255  # in label maps

SIGN_KINDS = ('prohibition', 'warning', 'mandatory')
_DESIGNS_OF_KINDS = (
    ('limit_30', 'limit_50', 'no_entry'),
    ('danger', 'bend', 'crossroads'),
    ('turn_left', 'turn_right', 'ahead'),
)
KIND_OF_SIGN = {
    design: kind for kind, designs in enumerate(_DESIGNS_OF_KINDS) for design in designs
}

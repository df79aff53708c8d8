"""The submission of the CVPR 2023 challenge's Track 1."""

# MobileNetV2 1.0. Maps: 0: 24 channels, stride 4; 1: 32, 8; 2: 96, 16; 3: 320, 32; 4: 1280, 32.
_base_ = '../backbones/mobilenetv2.py'

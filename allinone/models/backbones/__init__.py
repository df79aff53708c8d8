from .timm import TimmBackbone
from .torchvision import TorchvisionBackbone

__all__ = ['TimmBackbone', 'TorchvisionBackbone']

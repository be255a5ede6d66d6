"""What a place to train on is: how fast, and how it bills. Values and pure rules; live offers come from connectors."""

from peft_studio.core.compute.billing import LOCAL, MONTH_HOURS, BillingRules, Electricity
from peft_studio.core.compute.gpus import GPUS, Gpu, find_gpu
from peft_studio.core.compute.speed import DeviceSpeed, Products, Range, gpu_speed

__all__ = [
    "GPUS", "LOCAL", "MONTH_HOURS", "BillingRules", "DeviceSpeed", "Electricity", "Gpu", "Products", "Range", "find_gpu", "gpu_speed",
]  # fmt: skip

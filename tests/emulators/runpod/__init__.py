"""RunPod's REST API v2 on loopback, with machines that are real processes and a meter that counts dollars."""

from tests.emulators.runpod.routes import serve_runpod
from tests.emulators.runpod.state import Cloud, Pod, make_gpu

__all__ = ["Cloud", "Pod", "make_gpu", "serve_runpod"]

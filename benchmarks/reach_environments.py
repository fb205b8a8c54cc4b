"""Environments of the programs that load exports: packages of Python, and of node for the browser."""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

# Name of the folder of packages of node, and its packages.
NODE, NODE_PACKAGES = "npm", ("@litertjs/core@2.5.3", "@tensorflow/tfjs@4.22.0")


@dataclass(frozen=True)
class Environment:
    """A Python environment: requirements of pip; whether it also sees the packages of this one, and then alone."""

    requirements: tuple[str, ...]
    beside_own: bool = False


ENVIRONMENTS = {
    "timm": Environment(
        ("torch==2.14.1", "torchvision==0.29.1", "timm==1.0.31", "transformers==5.24.0", "onnx2torch==1.5.15")
    ),
    "keras_hub": Environment(
        ("keras-hub==0.32.0", "kagglehub", "kagglesdk", "regex", "tokenizers", "sentencepiece"), beside_own=True
    ),
    "openvino": Environment(("openvino==2026.4.0",), beside_own=True),
    "tensorflow_hub": Environment(("tensorflow-hub==0.16.1", "tf-keras==2.21.0", "setuptools<81"), beside_own=True),
    "tensorflow_2_15": Environment(("tensorflow==2.15.1",)),
    "tensorflow_2_18": Environment(("tensorflow==2.18.1",)),
    "opencv": Environment(("opencv-python-headless==5.0.0.93",)),
    "mediapipe": Environment(("mediapipe==1.2.3",)),
    "tfjs": Environment(("tensorflowjs==4.22.0", "ydf==0.11.0")),
}


def interpreter_of(folder: Path) -> str:
    """Returns the interpreter of an environment, which is made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        environment = ENVIRONMENTS[folder.name]
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        # Each by itself: some name ranges that exclude each other, and work all the same.
        alone = ["--no-deps"] if environment.beside_own else []
        for requirement in environment.requirements if folder.name == "tfjs" else [None]:
            names = environment.requirements if requirement is None else (requirement,)
            subprocess.run([python, "-m", "pip", "install", "-q", *alone, *names], check=True)
        if environment.beside_own:
            packages = subprocess.run(
                [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            (Path(packages) / "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return str(python)


def node_folder(environments: Path) -> Path:
    """Returns a folder with the packages for node and the browser, which are installed where they are missing."""
    folder = environments / NODE
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *NODE_PACKAGES], cwd=folder, check=True)
    return folder

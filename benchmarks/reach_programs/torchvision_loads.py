"""torchvision: a state dict in its own ResNet-18."""

import numpy as np
import torch
import torchvision
from arrays import in_batches, main, normalized_nchw


def outputs_of(path: str, views: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, np.ndarray]:
    """Returns features and logits."""
    state = torch.load(path, weights_only=True)
    model = torchvision.models.resnet18(num_classes=len(state["fc.bias"]))
    model.load_state_dict(state)
    classifier, model.fc = model.fc, torch.nn.Identity()
    model.eval()

    def run(part: np.ndarray) -> dict[str, np.ndarray]:
        with torch.no_grad():
            features = model(torch.from_numpy(part))
            return {"features": features.numpy(), "logits": classifier(features).numpy()}

    return in_batches(run, normalized_nchw(views, mean, std))


if __name__ == "__main__":
    main(outputs_of, torchvision.__version__)

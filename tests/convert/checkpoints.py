"""Checkpoints as other projects write them, their tensors named as those projects name them."""

import argparse

import numpy as np


def at(prefix, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def copy(prefix, state):
    """An encoder that is not the one to take: a moving average, or the student of a teacher."""
    return {f"{prefix}{name}": value + 1 for name, value in state.items()}


def linear(name, inputs=32, *, bias=True):
    weights = {f"{name}.weight": np.ones((4, inputs), np.float32)}
    return weights | ({f"{name}.bias": np.ones(4, np.float32)} if bias else {})


def normalization(name, *, affine=True):
    parts = ("weight", "bias", "running_mean", "running_var") if affine else ("running_mean", "running_var")
    return {f"{name}.{part}": np.ones(4, np.float32) for part in parts} | {f"{name}.num_batches_tracked": np.array(3)}


def mlp(name, *, bias=True):
    """Linear, normalization, ReLU, linear."""
    return linear(f"{name}.0", bias=bias) | normalization(f"{name}.1") | linear(f"{name}.3", 4, bias=bias)


def children(state, *, few=False):
    """The names of nn.Sequential(*resnet.children()); `few`: of a ResNet without modules for ReLU and max pool."""
    first = 2 if few else 4
    starts = {"conv1": "0", "bn1": "1"} | {f"layer{stage}": str(first + stage - 1) for stage in (1, 2, 3, 4)}
    renamed = {}
    for name, value in state.items():
        start, _, rest = name.partition(".")
        renamed[f"{starts[start]}.{rest}"] = value
    return renamed


def shortcut(state):
    return {name.replace("downsample", "shortcut"): value for name, value in state.items()}


def lightning(state):
    return {
        **{"epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.1.2", "state_dict": state},
        **{"loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {}, "optimizer_states": [{"state": {}}]},
        **{"lr_schedulers": [], "hparams_name": "kwargs", "hyper_parameters": {"num_classes": 10}},
    }


def epoch(state, **more):
    """Of the family of PyTorch's ImageNet example."""
    return {"epoch": 3, "arch": "resnet50", "state_dict": state, "optimizer": {"state": {}}} | more


ARGUMENTS = argparse.Namespace(arch="resnet50", lr=0.3, output_dir=".")


def _barlow_twins(s):
    projector = {"module.projector.0.weight": np.ones((4, 32), np.float32)}
    whole = at("module.backbone.", s) | projector | normalization("module.bn", affine=False)
    yield {"epoch": 3, "model": whole, "optimizer": {"state": {}}}
    yield {"state_dict": whole}
    yield {"model_state_dict": whole}
    yield whole


def _solo_learn(s):
    heads = mlp("projector") | linear("classifier")
    yield lightning(at("backbone.", s) | heads)
    momentum = copy("momentum_backbone.", s) | mlp("momentum_projector") | {"queue": np.ones((2, 4, 8))}
    yield lightning(copy("momentum_backbone.", s) | at("backbone.", s) | heads | momentum | mlp("predictor"))
    yield lightning(at("encoder.", s) | heads)


def _lightly(s):
    yield lightning(at("backbone.", s) | mlp("projection_head.layers") | linear("online_classifier.linear"))
    yield lightning(at("backbone.", children(s)) | mlp("projection_head.layers", bias=False))
    momentum = copy("backbone_momentum.", children(s)) | mlp("projection_head_momentum.layers")
    yield lightning(momentum | at("backbone.", children(s)) | mlp("projection_head.layers"))
    yield lightning(at("backbone.", children(shortcut(s), few=True)) | mlp("projection_head.layers"))
    student = copy("student_backbone.", children(s)) | mlp("student_head.layers")
    yield lightning(student | at("teacher_backbone.", children(s)) | mlp("teacher_head.layers"))
    yield at("backbone.", children(s)) | mlp("projection_head.layers")


def _vissl(s):
    heads = mlp("0.clf.0")
    model = {"model": {"trunk": at("_feature_blocks.", s), "heads": heads}}
    yield {
        **{"phase_idx": 3, "iteration": 9, "loss": {"buffers": {}}, "iteration_num": 9, "train_phase_idx": 2},
        "classy_state_dict": {"train": True, "base_model": model, "optimizer": {"optim": {"state": {}}}},
    }
    model = {"trunk": at("base_model._feature_blocks.", s), "heads": heads}
    yield {"classy_state_dict": {"base_model": {"model": model}}}
    yield {"model_state_dict": at("_feature_blocks.", s)}
    yield at("_feature_blocks.", s)


def _mmselfsup(s):
    meta = {"meta": {"epoch": 3, "mmselfsup_version": "0.9.1", "config": "model = dict()", "CLASSES": None}}
    yield meta | {"state_dict": at("backbone.", s) | mlp("neck.mlp") | linear("head.fc_cls"), "optimizer": {}}
    encoders = at("encoder_q.0.", s) | mlp("encoder_q.1.mlp") | copy("encoder_k.0.", s) | mlp("encoder_k.1.mlp")
    yield meta | {"state_dict": encoders | at("backbone.", s) | mlp("neck.mlp") | {"queue": np.ones((4, 8))}}
    target = copy("target_net.module.0.", s) | mlp("target_net.module.1") | {"target_net.steps": np.array(9)}
    yield meta | {"state_dict": target | at("backbone.", s) | mlp("neck") | mlp("head.predictor")}
    yield {"state_dict": s, "author": "MMSelfSup"}


def _moco(s):
    def wrapped(query, key):
        queue = {"module.queue": np.ones((4, 8)), "module.queue_ptr": np.zeros(1, np.int64)}
        return epoch(at("module.encoder_q.", s) | query | copy("module.encoder_k.", s) | key | queue)

    yield wrapped(linear("module.encoder_q.fc"), linear("module.encoder_k.fc"))
    yield wrapped(
        linear("module.encoder_q.fc.0") | linear("module.encoder_q.fc.2"),
        linear("module.encoder_k.fc.0") | linear("module.encoder_k.fc.2"),
    )


def _moco_v3(s):
    momentum = copy("module.momentum_encoder.", s) | mlp("module.momentum_encoder.fc", bias=False)
    base = at("module.base_encoder.", s) | mlp("module.base_encoder.fc", bias=False)
    yield epoch(momentum | base | mlp("module.predictor", bias=False), scaler={"scale": 65536.0})


def _simsiam(s):
    projector = mlp("module.encoder.fc", bias=False) | normalization("module.encoder.fc.4", affine=False)
    yield epoch(at("module.encoder.", s) | projector | mlp("module.predictor"))


def _swav(s):
    model = at("module.", s) | mlp("module.projection_head") | linear("module.prototypes", bias=False)
    settings = {"param_groups": [{"lr": np.float64(0.6), "params": [0, 1]}], "state": {}}
    yield {"epoch": 3, "state_dict": model, "optimizer": settings, "amp": {"loss_scaler0": {"loss_scale": 65536.0}}}
    yield model
    yield model | linear("module.prototypes.prototypes0", bias=False)


def _dino(s):
    head = mlp("module.head.mlp") | {"module.head.last_layer.weight_g": np.ones((8, 1), np.float32)}
    more = {"dino_loss": {"center": np.zeros((1, 8))}, "fp16_scaler": {"scale": 65536.0}, "args": ARGUMENTS, "epoch": 3}
    settings = {"param_groups": [{"lr": np.float64(0.6), "weight_decay": np.float64(0.04)}], "state": {}}
    student, teacher = copy("module.backbone.", s) | head, at("module.backbone.", s) | head
    yield {"student": student, "teacher": teacher, "optimizer": settings} | more
    yield {"student": teacher}


def _vicreg(s):
    projector = mlp("module.projector") | linear("module.projector.6", bias=False)
    yield {"epoch": 3, "model": at("module.backbone.", s) | projector, "optimizer": {"state": {}}}
    yield at("module.backbone.", s) | projector


def _imagenet_example(s):
    yield epoch(at("module.", s) | linear("module.fc"), best_acc1=np.array(71.5))
    yield epoch(s | linear("fc"), best_prec1=71.5)


def _timm(s):
    more = {"version": 2, "args": ARGUMENTS, "metric": 71.5, "amp_scaler": {"scale": 65536.0}}
    yield epoch(s | linear("fc"), **more)
    yield epoch(copy("", s) | linear("fc"), state_dict_ema=s | linear("fc"), **more)
    yield epoch(copy("", s), state_dict_ema=s)


def _torchvision(s):
    yield s | linear("fc")
    yield at("module._orig_mod.", s)
    yield {"model": s}
    yield {"model_state_dict": s}
    yield {"state_dict": shortcut(s) | linear("linear")}
    yield children(s)


# Function (state dict with torchvision's names): checkpoints as the project writes them.
SAMPLES = {
    "Barlow Twins": _barlow_twins,
    "solo-learn": _solo_learn,
    "Lightly": _lightly,
    "VISSL": _vissl,
    "MMSelfSup": _mmselfsup,
    "MoCo": _moco,
    "MoCo v3": _moco_v3,
    "SimSiam": _simsiam,
    "SwAV": _swav,
    "DINO": _dino,
    "VICReg": _vicreg,
    "PyTorch ImageNet example": _imagenet_example,
    "timm": _timm,
    "torchvision": _torchvision,
}


def sample(name, state, number=0):
    """Returns one checkpoint of a project, with an encoder of a state dict in torchvision's names."""
    return list(SAMPLES[name](state))[number]


def assert_taken(found, state):
    """Asserts that the tensors of an encoder are those of a state dict."""
    wanted = {name: value for name, value in state.items() if not name.endswith("tracked")}
    assert set(found.encoder) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found.encoder[name].value, value)

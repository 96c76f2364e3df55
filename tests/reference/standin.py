"""Stand-in nnU-Net models: real networks, plans and checkpoints of nnunetv2, with weights that are
made and not trained.

Their label maps must be structured, else agreement between two programs means nothing:

- every 3x3x3 filter is a random mixture of one smoothing filter and three slopes, transposed
  convolutions repeat their input with slight variation, so that features follow the smoothed
  intensities and their edges at every scale of the network, and the distance to the patch's border;
- the head is fitted, not drawn: the last features of example images are clustered (k-means), and
  the logit of a class is the (negative) squared distance to the center of its cluster, less what
  all classes share. So every class occurs, in compact pieces, and most voxels lie far from a border
  between two classes. For regions, a logistic regression of unions of clusters takes that place.

The file itself is written by nnunetv2's own trainer (`nnUNetTrainer.save_checkpoint`).
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

CONV = "torch.nn.modules.conv.Conv3d"
NORM = "torch.nn.modules.instancenorm.InstanceNorm3d"
CT_INTENSITIES = {
    "max": 3000.0,
    "mean": -5.9,
    "median": 38.0,
    "min": -1024.0,
    "percentile_00_5": -1004.0,
    "percentile_99_5": 1588.0,
    "std": 467.3,
}
SMOOTH = np.array([0.25, 0.5, 0.25])
SLOPE = np.array([-0.5, 0.0, 0.5])
FLAT = np.ones(3) / 3


def resampling(order, order_z=0, separate_z=None, is_seg=False):
    return {"is_seg": is_seg, "order": order, "order_z": order_z, "force_separate_z": separate_z}


def configuration(spacing, patch_size, features, strides, **options):
    """The part of a `configurations` entry that both forms of plans.json share, and the network in
    the new form (`old_form=True`: in the form of nnU-Net 2.0 to 2.2)."""
    kernels = options.get("kernel_sizes") or [[3, 3, 3]] * len(features)
    n_channels = options.get("n_channels", 1)
    shared = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch_size),
        "median_image_size_in_voxels": [float(size) for size in patch_size],
        "spacing": list(spacing),
        "normalization_schemes": options.get("normalization", ["CTNormalization"] * n_channels),
        "use_mask_for_norm": options.get("use_mask_for_norm", [False] * n_channels),
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": options.get("resampling_data", resampling(3)),
        "resampling_fn_seg_kwargs": resampling(1, is_seg=True),
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": options.get("resampling_logits", resampling(1)),
        "batch_dice": False,
    }
    n_stages = len(features)
    decoder = options.get("n_conv_per_stage_decoder", [2] * (n_stages - 1))
    if options.get("old_form"):
        shared |= {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": features[0],
            "n_conv_per_stage_encoder": options.get("n_per_stage", [2] * n_stages),
            "n_conv_per_stage_decoder": decoder,
            "num_pool_per_axis": [sum(step[axis] == 2 for step in strides) for axis in range(3)],
            "pool_op_kernel_sizes": [list(step) for step in strides],
            "conv_kernel_sizes": kernels,
            "unet_max_num_features": features[-1],
        }
        return shared
    residual = options.get("residual", False)
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    per_stage = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    shared["architecture"] = {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": n_stages,
            "features_per_stage": list(features),
            "conv_op": CONV,
            "kernel_sizes": kernels,
            "strides": [list(step) for step in strides],
            per_stage: options.get("n_per_stage", [2] * n_stages),
            "n_conv_per_stage_decoder": decoder,
            "conv_bias": True,
            "norm_op": NORM,
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    return shared


def plans(dataset_name, full_resolution, **options):
    n_channels = len(full_resolution["normalization_schemes"])
    transpose = options.get("transpose_forward", [0, 1, 2])
    spacing = full_resolution["spacing"]
    return {
        "dataset_name": dataset_name,
        "plans_name": options.get("plans_name", "nnUNetPlans"),
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": full_resolution["patch_size"],
        "image_reader_writer": options.get("image_reader_writer", "SimpleITKIO"),
        "transpose_forward": transpose,
        "transpose_backward": [transpose.index(axis) for axis in range(3)],
        "configurations": {"3d_fullres": full_resolution},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(channel): options.get("intensities", CT_INTENSITIES) for channel in range(n_channels)
        },
    }


def dataset_json(labels, channel_names=("CT",), **more):
    return {
        "channel_names": {str(index): name for index, name in enumerate(channel_names)},
        "labels": labels,
        "numTraining": 1,
        "file_ending": ".nii.gz",
        **more,
    }


def make_weights(network, seed):
    """Fills every layer but the head in place."""
    random = np.random.default_rng(seed)
    filters = [
        np.einsum("i,j,k->ijk", *axes)
        for axes in (
            (SMOOTH, SMOOTH, SMOOTH),
            (SLOPE, FLAT, FLAT),
            (FLAT, SLOPE, FLAT),
            (FLAT, FLAT, SLOPE),
        )
    ]
    modules = [module for name, module in network.named_modules() if "seg_layers" not in name]
    done = set()
    for module in modules:
        if id(module) in done:
            continue
        done.add(id(module))
        if isinstance(module, torch.nn.Conv3d):
            n_out, n_in, *size = module.weight.shape
            mixture = random.normal(size=(n_out, n_in, 4)) * [1.0, 0.4, 0.4, 0.4]
            bank = np.stack([fit(one, size) for one in filters])
            weight = np.einsum("oif,fabc->oiabc", mixture, bank)
            weight += 0.02 * random.normal(size=weight.shape)
            set_tensor(module.weight, weight / np.sqrt(n_in * np.mean(weight**2) * np.prod(size)))
            if module.bias is not None:
                set_tensor(module.bias, 0.1 * random.normal(size=n_out))
        elif isinstance(module, torch.nn.ConvTranspose3d):
            n_in, n_out, *size = module.weight.shape
            weight = random.normal(size=(n_in, n_out, 1, 1, 1)) / np.sqrt(n_in)
            set_tensor(module.weight, weight * (1 + 0.1 * random.normal(size=(1, n_out, *size))))
            if module.bias is not None:
                set_tensor(module.bias, 0.1 * random.normal(size=n_out))
        elif isinstance(module, torch.nn.InstanceNorm3d):
            n = module.num_features
            set_tensor(module.weight, 1 + 0.1 * random.normal(size=n))
            set_tensor(module.bias, 0.3 * random.normal(size=n))


def draw_norms(network, seed):
    """Leaves nnunetv2's own initial weights, and draws those of the norms, which begin as 1 and 0."""
    random = np.random.default_rng(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.InstanceNorm3d):
            set_tensor(module.weight, random.uniform(0.5, 1.5, module.num_features))
            set_tensor(module.bias, random.normal(0, 0.2, module.num_features))


def fit(kernel, size):
    """The middle of a 3x3x3 filter along axes where the layer has a kernel of one."""
    for axis, n in enumerate(size):
        if n == 1:
            kernel = kernel.sum(axis=axis, keepdims=True)
    return kernel


def set_tensor(target, values):
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)))


def last_features(network, patch):
    """What the head sees, [features, voxels], in one patch [channels, z, y, x]."""
    seen = {}
    head = network.decoder.seg_layers[-1]
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    with torch.inference_mode():
        network(patch[None])
    handle.remove()
    return seen["x"][0].flatten(1).numpy()


def fit_head(network, patches, regions, seed):
    """Fits the head to the features of `patches`; `regions` is None for plain classes."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.linear_model import LogisticRegression

    head = network.decoder.seg_layers[-1]
    n_out = head.weight.shape[0]
    features = np.concatenate([last_features(network, patch) for patch in patches], axis=1).T
    random = np.random.default_rng(seed)
    sample = features[random.permutation(len(features))[:40000]].astype(np.float64)
    n_clusters = n_out if regions is None else 4 * n_out
    clusters = MiniBatchKMeans(n_clusters, random_state=seed, n_init=2).fit(sample)
    counts = np.bincount(clusters.labels_, minlength=n_clusters)
    centers = clusters.cluster_centers_[np.argsort(-counts)]
    if regions is None:
        # -|f - c|^2 without |f|^2, relative to the mean center, in units of a typical distance.
        weight = 2 * (centers - centers.mean(axis=0))
        bias = -(centers**2).sum(axis=1)
        # A linear function common to all classes changes no label. With this one the winning logits
        # lie near zero, where the original's f16 sums are fine: fewer ties between classes.
        ones = np.ones((len(sample), 1))
        best = (sample @ weight.T + bias).max(axis=1)
        common = np.linalg.lstsq(np.hstack([sample, ones]), best, rcond=None)[0]
        weight, bias = weight - common[:-1], bias - common[-1]
        logits = sample @ weight.T + bias
        scale = 30 / np.percentile(np.abs(logits), 99.9)
        weight, bias = weight * scale, bias * scale
    else:
        cluster = clusters.predict(sample)
        weight, bias = [], []
        for channel in range(n_out):
            # Nested unions of clusters: every region keeps the larger part of the one before.
            chosen = np.argsort(centers[:, 0])[: max(2, n_clusters >> (channel + 1))]
            order = np.argsort(-counts)
            inside = np.isin(cluster, order[chosen])
            model = LogisticRegression(max_iter=300).fit(sample, inside)
            weight.append(model.coef_[0])
            bias.append(model.intercept_[0])
    set_tensor(head.weight, np.reshape(weight, head.weight.shape))
    set_tensor(head.bias, np.asarray(bias))


def write_model(folder, plans_json, dataset, make_patches, **options):
    """Writes one nnU-Net results folder (`plans.json`, `dataset.json`, `fold_*/checkpoint_final.pth`)
    through nnunetv2's own trainer. `make_patches(plans_manager, configuration_manager, dataset)`
    gives the patches that the head is fitted to; without it, all weights are nnunetv2's initial
    ones, whose labels mean nothing but whose logits are near one, which suits a comparison of
    rounding errors."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans_json, indent=4, sort_keys=False))
    (folder / "dataset.json").write_text(json.dumps(dataset, indent=4))
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("raw", "preprocessed", "results"):
            os.environ[f"nnUNet_{name}"] = str(Path(scratch) / name)
        for fold in options.get("folds", [0]):
            seed = options.get("seed", 1) + 100 * fold
            write_fold(folder, fold, seed, make_patches, options)


def write_fold(folder, fold, seed, make_patches, options):
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    plans_json = json.loads((folder / "plans.json").read_text())
    dataset = json.loads((folder / "dataset.json").read_text())
    plans_json["continue_training"] = False
    torch.manual_seed(seed)
    trainer_class = recursive_find_trainer_class_by_name(options.get("trainer", "nnUNetTrainer"))
    # The trainer looks at the ending of a preprocessed case to know how cases are stored.
    preprocessed = Path(os.environ["nnUNet_preprocessed"]) / plans_json["dataset_name"]
    cases = preprocessed / plans_json["configurations"]["3d_fullres"]["data_identifier"]
    cases.mkdir(parents=True, exist_ok=True)
    (cases / "case.b2nd").touch()
    trainer = trainer_class(plans_json, "3d_fullres", fold, dataset, torch.device("cpu"))
    trainer.initialize()
    network = trainer.network
    network.eval()
    network.decoder.deep_supervision = False
    if make_patches is None:
        draw_norms(network, seed)
    else:
        make_weights(network, seed)
        patches = make_patches(trainer.plans_manager, trainer.configuration_manager, dataset)
        fit_head(network, patches, dataset.get("regions_class_order"), seed)
    trainer.inference_allowed_mirroring_axes = options.get("mirror_axes")
    if options.get("optimizer_step", True):
        # One step with a rate of zero, so that the optimizer's state is as after a training.
        for group in trainer.optimizer.param_groups:
            group["lr"] = 0.0
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        trainer.optimizer.step()
    target = folder / f"fold_{fold}"
    target.mkdir(exist_ok=True)
    trainer.save_checkpoint(str(target / "checkpoint_final.pth"))


def patches_of(images, n_patches=2):
    """Patches of images (lists of files, one per channel), preprocessed by nnunetv2 itself."""

    def make(plans_manager, configuration_manager, dataset):
        from acvl_utils.cropping_and_padding.padding import pad_nd_image

        size = configuration_manager.patch_size
        preprocessor = configuration_manager.preprocessor_class(verbose=False)
        patches = []
        for files in images:
            data, _, _ = preprocessor.run_case(
                [str(file) for file in files], None, plans_manager, configuration_manager, dataset
            )
            data = pad_nd_image(torch.from_numpy(data), size, "constant", {"value": 0})
            room = [have - want for have, want in zip(data.shape[1:], size)]
            for index in range(n_patches):
                share = (index + 0.5) / n_patches
                begin = [int(free * share) for free in room]
                where = tuple(slice(b, b + s) for b, s in zip(begin, size))
                patches.append(data[(slice(None), *where)].float().contiguous())
        return patches

    return make

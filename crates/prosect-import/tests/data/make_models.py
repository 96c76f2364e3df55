"""Small trained-model folders as nnU-Net v2 writes and exports them, with random weights, and PyTorch's answers.

    python make_models.py        (torch 2.15, nnunetv2 2.8.1, dynamic-network-architectures 0.4.4)

Each zip has the layout of `nnUNetv2_export_model_to_zip`, which is also that of TotalSegmentator's releases. The input is
x[i] = ((i * 7919) % 1000) / 500 - 1; golden.json holds voxels of the output, channel by channel.
"""
import io
import json
import zipfile

import numpy as np
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

torch.set_num_threads(1)
INSTANCE = "torch.nn.modules.instancenorm.InstanceNorm3d"
BATCH = "torch.nn.modules.batchnorm.BatchNorm3d"
EDGE = 16


def new_form(cls, features, kernels, strides, convs, decoder, **more):
    blocks = "n_conv_per_stage" if cls == "PlainConvUNet" else "n_blocks_per_stage"
    kwargs = {
        "n_stages": len(features), "features_per_stage": features, "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernels, "strides": strides, blocks: convs, "n_conv_per_stage_decoder": decoder,
        "conv_bias": True, "norm_op": INSTANCE, "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None, "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
    }
    kwargs.update(more)
    return {"architecture": {"network_class_name": f"dynamic_network_architectures.architectures.unet.{cls}",
                             "arch_kwargs": kwargs, "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}}


def old_form(base, most, kernels, strides, convs, decoder):
    return {"UNet_class_name": "PlainConvUNet", "UNet_base_num_features": base, "unet_max_num_features": most,
            "n_conv_per_stage_encoder": convs, "n_conv_per_stage_decoder": decoder, "num_pool_per_axis": [1, 1, 1],
            "pool_op_kernel_sizes": strides, "conv_kernel_sizes": kernels}


def configuration(architecture, normalizations):
    def resampling(is_seg, order):
        return {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}
    name = "resample_data_or_seg_to_shape"
    return {"data_identifier": "x", "preprocessor_name": "DefaultPreprocessor", "batch_size": 2, "patch_size": [EDGE] * 3,
            "median_image_size_in_voxels": [40.0] * 3, "spacing": [1.5, 1.25, 1.0], "normalization_schemes": normalizations,
            "use_mask_for_norm": [False] * len(normalizations), "batch_dice": True,
            "resampling_fn_data": name, "resampling_fn_data_kwargs": resampling(False, 3),
            "resampling_fn_seg": name, "resampling_fn_seg_kwargs": resampling(True, 1),
            "resampling_fn_probabilities": name, "resampling_fn_probabilities_kwargs": resampling(False, 1), **architecture}


K3, ONE, TWO = [3, 3, 3], [1, 1, 1], [2, 2, 2]
SMALL = new_form("PlainConvUNet", [4, 6], [K3] * 2, [ONE, TWO], [1, 1], [1])


def labels(names):
    return {"background": 0, **{name: i + 1 for i, name in enumerate(names)}}


def numbered(n):
    return labels([f"class_{i}" for i in range(1, n + 1)])


MODELS = {
    "Dataset901_Plain": dict(architecture=new_form("PlainConvUNet", [4, 6, 8], [K3, [1, 3, 3], K3], [ONE, [1, 2, 2], TWO], [2, 1, 2], [1, 2]),
                             labels=labels(["liver", "Liver Tumour"]), folds=[0, 1]),
    "Dataset902_Old": dict(architecture=old_form(4, 6, [K3] * 3, [ONE, TWO, [2, 1, 2]], [1, 2, 1], [1, 1]), labels=labels(["spleen"])),
    "Dataset903_Residual": dict(architecture=new_form("ResidualEncoderUNet", [4, 6, 6], [K3] * 3, [ONE, TWO, [1, 2, 2]], [1, 2, 1], [1, 1]),
                                labels={"background": 0, "whole tumor": [1, 2, 3], "core": [2, 3], "enhancing": 3},
                                extra={"regions_class_order": [1, 2, 3]}, channels={"0": "T1", "1": "T2"}),
    "Dataset904_Batch": dict(architecture=new_form("PlainConvUNet", [4, 6], 3, [ONE, TWO], 1, 1, norm_op=BATCH, norm_op_kwargs={}, nonlin="torch.nn.ReLU", conv_bias=False),
                             labels=labels(["a"])),
    "Dataset298_TotalSegmentator_total_6mm_1559subj": dict(architecture=SMALL, labels=numbered(117), trainer="nnUNetTrainer_4000epochs_NoMirroring", mirroring=None),
    "Dataset527_breasts_1559subj": dict(architecture=SMALL, labels=numbered(1), trainer="nnUNetTrainer_DASegOrd0_NoMirroring", mirroring=None),
    "Dataset778_headneck_muscles_part1_492subj": dict(architecture=SMALL, labels=numbered(11), trainer="nnUNetTrainer_DASegOrd0_NoMirroring", mirroring=None),
    "Dataset779_headneck_muscles_part2_492subj": dict(architecture=SMALL, labels=numbered(12), trainer="nnUNetTrainer_DASegOrd0_NoMirroring", mirroring=None),
}


def shake(network):
    """Away from the values that a fresh network has, so that a swapped tensor shows."""
    for module in network.modules():
        for name, low, high in [("bias", -0.2, 0.2), ("running_mean", -0.2, 0.2), ("running_var", 0.5, 2.0)]:
            if getattr(module, name, None) is not None:
                torch.nn.init.uniform_(getattr(module, name), low, high)
        if getattr(module, "weight", None) is not None and module.weight.dim() == 1:
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)


def make(name, model):
    channels = model.get("channels", {"0": "CT"})
    scheme = "CTNormalization" if channels == {"0": "CT"} else "ZScoreNormalization"
    plans = {"dataset_name": name, "plans_name": "nnUNetPlans", "original_median_spacing_after_transp": [1.5] * 3,
             "original_median_shape_after_transp": [40] * 3, "image_reader_writer": "SimpleITKIO",
             "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2], "label_manager": "LabelManager",
             "configurations": {"2d": {"patch_size": [64, 64], "batch_size": 2},
                                "3d_fullres": configuration(model["architecture"], [scheme] * len(channels)),
                                "3d_lowres": {"inherits_from": "3d_fullres", "spacing": [3.0, 3.0, 3.0]}},
             "experiment_planner_used": "ExperimentPlanner",
             "foreground_intensity_properties_per_channel": {c: dict(max=3000.0, mean=100.125, median=90.0, min=-1000.0, percentile_00_5=-900.5, percentile_99_5=1200.25, std=200.5) for c in channels}}
    dataset = {"channel_names": channels, "labels": model["labels"], "numTraining": 3, "file_ending": ".nii.gz", **model.get("extra", {})}
    manager = PlansManager(json.loads(json.dumps(plans)))
    config, heads = manager.get_configuration("3d_fullres"), manager.get_label_manager(dataset).num_segmentation_heads
    trainer = model.get("trainer", "nnUNetTrainer")
    folder = f"{name}/{trainer}__nnUNetPlans__3d_fullres"
    golden = []
    with zipfile.ZipFile(f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as out:
        def write(path, data):
            out.writestr(zipfile.ZipInfo(path, (2026, 11, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
        for fold in model.get("folds", [0]):
            torch.manual_seed(fold)
            network = get_network_from_plans(config.network_arch_class_name, config.network_arch_init_kwargs,
                                             config.network_arch_init_kwargs_req_import, len(channels), heads, deep_supervision=True)
            shake(network)
            checkpoint = {
                "network_weights": network.state_dict(), "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
                "grad_scaler_state": torch.amp.GradScaler("cpu").state_dict(),
                "logging": {"mean_fg_dice": [np.float64(0.5)], "dice_per_class_or_region": [[np.float32(0.5)]], "lrs": np.arange(3.0)},
                "_best_ema": np.float64(0.7), "current_epoch": 1000,
                "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": fold, "dataset_json": dataset, "device": torch.device("cpu")},
                "trainer_name": trainer, "inference_allowed_mirroring_axes": model.get("mirroring", (0, 1, 2))}
            data = io.BytesIO()
            torch.save(checkpoint, data)
            write(f"{folder}/fold_{fold}/checkpoint_final.pth", data.getvalue())
            write(f"{folder}/fold_{fold}/progress.png", b"")
            write(f"{folder}/fold_{fold}/validation/summary.json", "{}")
            network.eval()
            network.decoder.deep_supervision = False
            n = len(channels) * EDGE**3
            x = ((np.arange(n) * 7919) % 1000).astype(np.float32) / np.float32(500) - np.float32(1)
            with torch.no_grad():
                y = network(torch.from_numpy(x.reshape(1, len(channels), EDGE, EDGE, EDGE)))[0].numpy().ravel()
            places = np.random.default_rng(fold).choice(y.size, 64, replace=False)
            golden.append([[int(i), float(y[i])] for i in sorted(places)])
        write(f"{folder}/plans.json", json.dumps(plans, indent=4))
        write(f"{folder}/dataset.json", json.dumps(dataset, indent=4))
        write(f"{folder}/dataset_fingerprint.json", "{}")
    return golden


answers = {name: make(name, model) for name, model in MODELS.items()}
with open("golden.json", "w") as out:
    json.dump(answers, out)

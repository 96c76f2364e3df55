"""Writes small networks with inputs and outputs of PyTorch, which tests/network_golden.rs compares with.

    python make_network_goldens.py FOLDER

Made with torch 2.15.0, dynamic-network-architectures 0.4.4, safetensors, Python 3.11. Each case is NAME.json (the description)
and NAME.safetensors (weights, "input" [C, d0, d1, d2] and "output"). Values are f32, computed by PyTorch in f64.
"""

import json
import sys
from pathlib import Path

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from safetensors.torch import save_file
from torch import nn

NORM_AND_RELU = dict(
    conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs=dict(eps=1e-5, affine=True),
    nonlin=nn.LeakyReLU, nonlin_kwargs=dict(inplace=True), deep_supervision=False,
)


class Description:
    """Collects nodes; names of tensors are those of the module's state."""

    def __init__(self, channels):
        self.nodes, self.input_channels, self.used = [], channels, []

    def add(self, op, inputs, name=None, **parameters):
        name = name or f"n{len(self.nodes)}"
        key = {"inputs": inputs} if isinstance(inputs, list) else {"input": inputs}
        self.nodes.append({"name": name, "op": op, **key, **parameters})
        return name

    def tensors(self, module, prefix, names):
        found = {}
        for theirs, ours in names.items():
            if getattr(module, theirs, None) is not None:
                found[ours] = f"{prefix}.{theirs}"
                self.used.append(found[ours])
        return found

    def module(self, module, prefix, x):
        names = {"weight": "weight", "bias": "bias"}
        if isinstance(module, nn.Conv3d):
            assert module.groups == 1
            return self.add("conv", x, channels=[module.in_channels, module.out_channels], kernel=list(module.kernel_size),
                            stride=list(module.stride), dilation=list(module.dilation), padding=list(module.padding),
                            **self.tensors(module, prefix, names))
        if isinstance(module, nn.ConvTranspose3d):
            return self.add("conv_transpose", x, channels=[module.in_channels, module.out_channels],
                            kernel=list(module.kernel_size), stride=list(module.stride), **self.tensors(module, prefix, names))
        if isinstance(module, nn.InstanceNorm3d):
            return self.add("instance_norm", x, epsilon=module.eps, epsilon_added_to="variance", **self.tensors(module, prefix, names))
        if isinstance(module, nn.BatchNorm3d):
            return self.add("batch_norm", x, epsilon=module.eps, **self.tensors(
                module, prefix, {**names, "running_mean": "mean", "running_var": "variance"}))
        if isinstance(module, nn.AvgPool3d):
            size = lambda v: list(v) if isinstance(v, (tuple, list)) else [v] * 3
            return self.add("average_pool", x, window=size(module.kernel_size), stride=size(module.stride))
        if isinstance(module, nn.LeakyReLU):
            return self.add("leaky_relu", x, slope=module.negative_slope)
        simple = {nn.ReLU: "relu", nn.GELU: "gelu", nn.Sigmoid: "sigmoid", nn.Softmax: "softmax"}
        if type(module) in simple:
            return self.add(simple[type(module)], x)
        if isinstance(module, nn.ELU):
            return self.add("elu", x, alpha=module.alpha)
        if isinstance(module, nn.Upsample):
            op = {"nearest": "nearest_up", "trilinear": "trilinear_up"}[module.mode]
            factor = module.scale_factor
            return self.add(op, x, factor=[int(f) for f in (factor if isinstance(factor, tuple) else [factor] * 3)])
        if isinstance(module, nn.Sequential):
            for index, part in enumerate(module):
                x = self.module(part, f"{prefix}.{index}", x)
            return x
        raise TypeError(type(module))

    def block(self, block, prefix, x):
        """ConvDropoutNormReLU."""
        x = self.module(block.conv, f"{prefix}.conv", x)
        for part in ("norm", "nonlin"):
            if hasattr(block, part):
                x = self.module(getattr(block, part), f"{prefix}.{part}", x)
        return x

    def stack(self, stack, prefix, x):
        for index, block in enumerate(stack.convs):
            x = self.block(block, f"{prefix}.convs.{index}", x)
        return x

    def residual(self, block, prefix, x):
        """BasicBlockD."""
        skip = x
        if isinstance(block.skip, nn.Sequential):
            for index, part in enumerate(block.skip):
                inner = f"{prefix}.skip.{index}"
                skip = self.block(part, inner, skip) if hasattr(part, "conv") else self.module(part, inner, skip)
        x = self.block(block.conv2, f"{prefix}.conv2", self.block(block.conv1, f"{prefix}.conv1", x))
        return self.module(block.nonlin2, f"{prefix}.nonlin2", self.add("add", [x, skip]))

    def unet(self, net):
        x, skips = "image", []
        if getattr(net.encoder, "stem", None) is not None:
            x = self.stack(net.encoder.stem, "encoder.stem", x)
        for s, stage in enumerate(net.encoder.stages):
            if hasattr(stage, "blocks"):
                for b, block in enumerate(stage.blocks):
                    x = self.residual(block, f"encoder.stages.{s}.blocks.{b}", x)
            else:
                x = self.stack(stage[0], f"encoder.stages.{s}.0", x)
            skips.append(x)
        for d, (up, stage) in enumerate(zip(net.decoder.transpconvs, net.decoder.stages)):
            x = self.module(up, f"decoder.transpconvs.{d}", x)
            x = self.stack(stage, f"decoder.stages.{d}", self.add("concat", [x, skips[-2 - d]]))
        last = len(net.decoder.seg_layers) - 1
        return self.module(net.decoder.seg_layers[last], f"decoder.seg_layers.{last}", x)

    def sequential(self, net):
        x = "image"
        for index, part in enumerate(net):
            x = self.module(part, str(index), x)
        return x

    def json(self, output):
        return {"format": "prosect-network", "format_version": 1, "axes": "as PyTorch's spatial axes",
                "input": {"name": "image", "channels": self.input_channels}, "output": output, "nodes": self.nodes}


def randomize(net):
    generator = torch.Generator().manual_seed(1)
    random = lambda tensor: torch.randn(tensor.shape, generator=generator)
    for module in net.modules():
        if isinstance(module, (nn.InstanceNorm3d, nn.BatchNorm3d)) and module.weight is not None:
            module.weight.data.copy_(1 + 0.2 * random(module.weight))
            module.bias.data.copy_(0.2 * random(module.bias))
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.copy_(0.1 * random(module.running_mean))
            module.running_var.copy_(0.5 + random(module.running_var).abs())
    return net.eval()


def mesh_net(channels, dilations, nonlin, classes, kernel=3):
    parts, before = [], 1
    for dilation in dilations:
        parts += [nn.Conv3d(before, channels, kernel, padding=dilation, dilation=dilation), nn.BatchNorm3d(channels), nonlin()]
        before = channels
    return nn.Sequential(*parts, nn.Conv3d(before, classes, 1))


def write(folder, name, net, describe, shape, channels=1, with_values=True):
    torch.manual_seed(3)
    net = randomize(net)
    description = Description(channels)
    output = describe(description, net)
    state = net.state_dict()
    weights = {key: state[key].contiguous() for key in dict.fromkeys(description.used)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(description.json(output)) + "\n")
    if with_values:
        image = torch.randn((1, channels, *shape), generator=torch.Generator().manual_seed(42))
        with torch.no_grad():
            result = net.double()(image.double())[0].float()
        weights = {**{key: value.float() for key, value in weights.items()}, "input": image[0], "output": result.contiguous()}
    save_file(weights, folder / f"{name}.safetensors")


def plain(features, kernels, strides, classes, channels=1, convs=2):
    return PlainConvUNet(channels, len(features), features, nn.Conv3d, kernels, strides, convs, classes, convs, **NORM_AND_RELU)


def residual(features, kernels, strides, blocks, classes, channels=1):
    return ResidualEncoderUNet(channels, len(features), features, nn.Conv3d, kernels, strides, blocks, classes,
                               [1] * (len(features) - 1), **NORM_AND_RELU)


def main(folder):
    unet, whole = Description.unet, Description.sequential
    torch.manual_seed(0)
    write(folder, "plain", plain([8, 16, 16], [[1, 3, 3], 3, 3], [1, [1, 2, 2], 2], 3), unet, (6, 16, 20))
    write(folder, "plain_odd_channels", plain([6, 10, 9], 3, [1, 2, [2, 1, 1]], 5, channels=2, convs=1), unet, (8, 6, 10), 2)
    write(folder, "residual", residual([8, 8, 16], [3, 3, 3], [1, 2, [1, 2, 2]], [1, 2, 1], 4), unet, (6, 8, 12))
    write(folder, "mesh_relu", mesh_net(5, [1, 2, 4, 1], nn.ReLU, 3), whole, (12, 11, 13))
    write(folder, "mesh_elu", mesh_net(5, [1, 2], nn.ELU, 3), whole, (7, 6, 9))
    write(folder, "mesh_gelu", mesh_net(9, [1, 3], nn.GELU, 3), whole, (7, 6, 9))
    write(folder, "resampling", nn.Sequential(
        nn.Conv3d(1, 9, 3, stride=2, padding=1), nn.Upsample(scale_factor=(2, 3, 1), mode="trilinear", align_corners=False),
        nn.Conv3d(9, 4, (2, 3, 1)), nn.InstanceNorm3d(4), nn.Upsample(scale_factor=2), nn.AvgPool3d(2), nn.BatchNorm3d(4),
        nn.ConvTranspose3d(4, 10, (1, 2, 3), stride=(1, 2, 3)), nn.Sigmoid(), nn.Conv3d(10, 10, (3, 1, 5), padding=(1, 0, 2)),
        nn.Softmax(dim=1)), whole, (8, 6, 10))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

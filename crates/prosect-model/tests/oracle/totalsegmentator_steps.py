"""Golden answers for the steps of TotalSegmentator around its networks.

Runs the program's own functions (and scipy's and nibabel's, which it calls) on small synthetic
volumes and writes `totalsegmentator_steps.toml`, which the crate's unit tests read.

    pip install TotalSegmentator==2.18.0      # brings numpy, scipy, nibabel
    python totalsegmentator_steps.py totalsegmentator_steps.toml

Volumes are given by a hash of the voxel's indices that Rust repeats; answers are SHA-256 of their
values, the first axis fastest.
"""

import hashlib
import itertools
import sys

import nibabel as nib
import numpy as np
import scipy
from scipy import ndimage
from totalsegmentator import alignment, cropping, postprocessing, resampling, statistics
from totalsegmentator.map_to_binary import class_map


def mixed(shape, seed):
    x, y, z = np.meshgrid(*[np.arange(n, dtype=np.uint64) for n in shape], indexing="ij")
    h = x * np.uint64(73856093) ^ y * np.uint64(19349663) ^ z * np.uint64(83492791)
    return h ^ np.uint64(seed * 2654435761)


def image(shape, seed):
    h = mixed(shape, seed)
    return ((h >> np.uint64(3)) % np.uint64(4000)).astype(float) - 1000 + (h % np.uint64(8)) / 8.0


def blocks(shape, block, n_labels, seed, one_in):
    """Labels constant on blocks of voxels; about one block in `one_in` is not background."""
    h = mixed([-(-n // b) for n, b in zip(shape, block)], seed)
    h = h >> np.uint64(5)
    labels = np.where(h % np.uint64(one_in) == 0, (h >> np.uint64(4)) % np.uint64(n_labels) + np.uint64(1), 0)
    for axis, b in enumerate(block):
        labels = np.repeat(labels, b, axis)
    return labels[: shape[0], : shape[1], : shape[2]].astype(np.uint8)


def sha(values, dtype):
    return hashlib.sha256(np.asarray(values).astype(dtype).ravel(order="F").tobytes()).hexdigest()


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ", ".join(text(v) for v in value) + "]"
    if isinstance(value, (np.integer, int)):
        return str(int(value))
    return repr(float(value))


OUT = []


def case(kind, **fields):
    OUT.append(f"\n[[{kind}]]\n" + "\n".join(f"{k} = {text(v)}" for k, v in fields.items()) + "\n")


def zooms():
    cases = [
        ([7, 9, 5], [0.7, 0.7, 1.0], [1.5] * 3),
        ([23, 31, 17], [0.78125, 0.78125, 2.5], [3.0] * 3),
        ([12, 10, 25], [0.976562, 0.976562, 5.0], [1.5] * 3),
        ([5, 6, 7], [3.0, 3.0, 3.0], [1.5] * 3),
        ([8, 8, 8], [1.5, 1.5, 1.5], [6.0] * 3),
        ([25, 35, 45], [0.3, 0.3, 0.3], [3.0] * 3),
        ([9, 9, 4], [1.5, 1.5, 3.1], [1.5] * 3),
        ([11, 13, 1], [0.9, 0.8, 2.0], [1.5] * 3),
        ([14, 13, 12], [0.9, 0.8, 2.0], [0.703125, 0.703125, 1.0]),
        ([6, 40, 3], [1.0, 1.0, 4.0], [0.47251562774181366, 0.47251562774181366, 0.8500002026557922]),
        ([2, 3, 2], [4.0, 1.2, 3.3], [0.5] * 3),
    ]
    for seed, (shape, spacing, target) in enumerate(cases):
        data = image(shape, seed)
        img = nib.Nifti1Image(data, np.diag(spacing + [1]))
        raw = resampling.change_spacing(img, list(target), order=1, dtype=None)
        cut = resampling.change_spacing(img, list(target), order=1, dtype=np.int32)
        out = raw.get_fdata()
        labels = blocks(out.shape, [2, 3, 2], 5, seed, 2)
        back = resampling.change_spacing(
            nib.Nifti1Image(labels, cut.affine), list(target), target_shape=shape, order=0, dtype=np.uint8
        )
        assert back.shape == tuple(shape)
        case(
            "zoom",
            seed=seed,
            shape=shape,
            spacing_mm=spacing,
            target_mm=target,
            out_shape=out.shape,
            kept_f32=sha(out, "<f4"),
            cut_i32=sha(np.asanyarray(cut.dataobj), "<i4"),
            labels_back_u8=sha(np.asanyarray(back.dataobj), "u1"),
        )


def rotation(angles):
    a, b, c = angles
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rx @ ry @ rz


def orientations():
    """All 48 orders and directions of the axes, straight and turned."""
    n = 0
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product([1, -1], repeat=3):
            m = np.zeros((3, 3))
            for axis, (row, sign) in enumerate(zip(axes, signs)):
                m[row, axis] = sign
            for turn in ([0, 0, 0], [0.15, -0.2, 0.3], [0.7, 0.6, -0.65]):
                yield n, rotation(turn) @ m
                n += 1


def ways():
    """Crop, canonical axes, resampling, and all the way back, on every orientation."""
    shape, spacing = [13, 17, 11], [0.9, 1.3, 2.1]
    for n, m in orientations():
        affine = np.eye(4)
        affine[:3, :3] = m @ np.diag(spacing)
        affine[:3, 3] = [-31.0, 12.5, 400.25]
        data = image(shape, n)
        img = nib.Nifti1Image(data, affine)
        fields = dict(seed=n, shape=shape, ras_from_voxel=affine[:3].ravel())
        canonical = alignment.as_closest_canonical(nib.Nifti1Image(data, affine))
        fields["canonical_f32"] = sha(canonical.get_fdata(), "<f4")
        mask = np.zeros(shape, np.uint8)
        mask[4 : 6 + n % 4, 7:9, 3 : 5 + n % 3] = 1
        addon = [[3, 3, 3], [20, 20, 20], [2, 5, 1]][n % 3]
        cropped, bbox = cropping.crop_to_mask(img, nib.Nifti1Image(mask, affine), addon=addon, dtype=np.int32)
        turned = alignment.as_closest_canonical(cropped)
        target = [1.5] * 3 if n % 2 else [0.75, 0.75, 1.0]
        working = resampling.change_spacing(turned, list(target), order=1, dtype=np.int32)
        labels = blocks(working.shape, [2, 2, 3], 9, n, 2)
        back = resampling.change_spacing(
            nib.Nifti1Image(labels, working.affine),
            list(target),
            turned.shape,
            order=0,
            dtype=np.uint8,
            force_affine=turned.affine,
        )
        back = cropping.undo_crop(alignment.undo_canonical(back, img), img, bbox)
        case(
            "way",
            **fields,
            mask_end=[6 + n % 4, 9, 5 + n % 3],
            addon_mm=addon,
            region=np.array(bbox).T.ravel(),
            target_mm=target,
            working_shape=working.shape,
            working_i32=sha(np.asanyarray(working.dataobj), "<i4"),
            working_zooms_mm=working.header.get_zooms(),
            labels_u8=sha(back.get_fdata(), "u1"),
        )


def splits():
    margin = 20
    for n_slices in (201, 256, 305, 602):
        data = image([3, 2, n_slices], n_slices)

        def network(part):
            local = np.arange(part.shape[2])
            return ((np.trunc(part) + 1000 + 7 * local[None, None, :]) % 250).astype(np.uint8)

        third = n_slices // 3
        parts = [data[:, :, : third + margin], data[:, :, third + 1 - margin : third * 2 + margin]]
        parts.append(data[:, :, third * 2 + 1 - margin :])
        s1, s2, s3 = [network(p) for p in parts]
        joined = np.zeros(data.shape, np.uint8)
        joined[:, :, :third] = s1[:, :, :-margin]
        joined[:, :, third : third * 2] = s2[:, :, margin - 1 : -margin]
        joined[:, :, third * 2 :] = s3[:, :, margin - 1 :]
        case("split", n_slices=n_slices, joined_u8=sha(joined, "u1"))


def merges():
    """The lookup table of the five parts on fake answers, the later part over the earlier."""
    from totalsegmentator.map_to_binary import class_map_5_parts, map_taskid_to_partname_ct

    names = {v: k for k, v in class_map["total"].items()}
    shape = [9, 8, 7]
    merged = np.zeros(shape, np.uint8)
    tables = []
    for seed, task in enumerate([291, 292, 293, 294, 295]):
        part = class_map_5_parts[map_taskid_to_partname_ct[task]]
        table = np.zeros(max(part) + 1, np.uint8)
        for value, name in part.items():
            table[value] = names[name]
        mapped = table[blocks(shape, [2, 2, 2], len(part), seed, 3)]
        np.copyto(merged, mapped, where=mapped != 0)
        tables.append(table.tolist())
    case("merge", shape=shape, tables=tables, merged_u8=sha(merged, "u1"))


def postprocess():
    shape = [40, 37, 45]
    for seed, spacing in enumerate(([1.5] * 3, [6.0] * 3)):
        z = np.float32(spacing)
        labels = blocks(shape, [5, 6, 4], 2, seed, 2)
        # A few blobs as big as the threshold asks for.
        labels[3:39, 2:30, 1:40][labels[3:39, 2:30, 1:40] == 0] = 2 if seed == 0 else 0
        body = postprocessing.keep_largest_blob_multilabel(labels.copy(), class_map["body"], ["body_trunc"], quiet=True)
        body = postprocessing.remove_small_blobs_multilabel(
            body, class_map["body"], ["body_extremities"], interval=[50000 / np.prod(tuple(z)), 1e10], quiet=True
        )
        case("body", seed=seed, spacing_mm=spacing, before_u8=sha(labels, "u1"), after_u8=sha(body, "u1"))
    for seed, (block, spacing) in enumerate(
        [
            ([4, 4, 6], [1.5] * 3),
            ([9, 8, 3], [1.5] * 3),
            ([6, 6, 5], [1.4, 1.5, 2.0]),
            ([5, 7, 4], [0.7, 0.7, 1.0]),
            ([6, 7, 6], [3.0, 3.0, 3.0]),
        ]
    ):
        for flavor in ("touching", "apart", "top", "few"):
            labels = blocks(shape, block, 24, 10 + seed, 3 if flavor == "touching" else 5)
            if flavor == "apart":
                labels = np.zeros(shape, np.uint8)
                for level in range(5):
                    labels[12:20, 10:19, 2 + 9 * level : 7 + 9 * level] = 20 - level
            if flavor == "top":
                labels[labels == 24] = 1
            if flavor == "few":
                labels[:, :, 20:] = 0
                labels[labels > 12] = 0
            zooms = nib.Nifti1Image(labels, np.diag(spacing + [1])).header.get_zooms()
            after = postprocessing.postprocess_vertebrae_pp(
                labels.copy(), class_map["vertebrae_pp"], voxel_volume=np.prod(zooms), voxel_spacing=zooms
            )
            bodies = blocks(shape, [7, 7, 7], 2, 99 + seed, 2)
            refined = postprocessing.refine_vertebrae_pp_with_body_mask(
                after.copy(), bodies, class_map["vertebrae_pp"], voxel_spacing=zooms, dilation_mm=2
            )
            case(
                "vertebrae",
                seed=seed,
                flavor=flavor,
                block=block,
                spacing_mm=spacing,
                before_u8=sha(labels, "u1"),
                after_u8=sha(after, "u1"),
                bodies_u8=sha(bodies, "u1"),
                refined_u8=sha(refined, "u1"),
            )
    for seed, spacing in enumerate(([0.9, 0.9, 2.0], [1.5] * 3, [40.0] * 3)):
        labels = blocks([30, 28, 26], [3, 3, 3], 7, seed, 1)
        mask = blocks([30, 28, 26], [4, 5, 6], 1, 50 + seed, 40)
        after = postprocessing.remove_outside_of_mask(
            labels.copy(), mask, addon=int(10 / np.mean(tuple(np.float32(spacing))))
        )
        case("outside", seed=seed, spacing_mm=spacing, mask_u8=sha(mask, "u1"), after_u8=sha(after, "u1"))


def measures():
    shape, spacing = [24, 22, 20], [0.9, 0.9, 2.0]
    ct = image(shape, 5)
    labels = blocks(shape, [4, 4, 4], 117, 5, 2)
    labels[:3], labels[-3:], labels[:, :3], labels[:, -3:] = 0, 0, 0, 0
    labels[:, :, 5:-5][labels[:, :, 5:-5] > 60] = 7
    stats = statistics.get_basic_statistics(
        labels, nib.Nifti1Image(ct, np.diag(spacing + [1])), quiet=True, task="total"
    )
    rows = [[float(v["volume"]), float(v["intensity"])] for v in stats.values()]
    case("statistics", shape=shape, spacing_mm=spacing, labels_u8=sha(labels, "u1"), volume_and_intensity=rows)


if __name__ == "__main__":
    zooms(), ways(), splits(), merges(), postprocess(), measures()
    head = "# Made by totalsegmentator_steps.py; do not edit.\n"
    head += f'# TotalSegmentator 2.18.0, scipy {scipy.__version__}, nibabel {nib.__version__}, numpy {np.__version__}\n'
    with open(sys.argv[1], "w") as file:
        file.write(head + "".join(OUT))

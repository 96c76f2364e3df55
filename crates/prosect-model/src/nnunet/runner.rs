//! One trained nnU-Net on one image: preprocess, patches, and labels as planes are finished.

use prosect_nn::control::RunControl;
use prosect_nn::isa::Isa;
use prosect_nn::network::Workspace;
use prosect_volume::{Grid, Volume};

use crate::error::ModelError;
use crate::manifest::Part;
use crate::model::Model;
use crate::nnunet::accumulate::{Contribution, PlaneLayout, Precision};
use crate::nnunet::engine::{Budget, Engine};
use crate::nnunet::export::{Exporter, Grid2};
use crate::nnunet::mirrored::MirroredPatch;
use crate::nnunet::npy::NpyFile;
use crate::nnunet::preprocess::{Geometry, Preprocessed};
use crate::nnunet::spacing::separate_axis;
use crate::nnunet::sums::Sums;
use crate::nnunet::target::{Merged, Places, Target};
use crate::nnunet::tiling::{Tiling, mirrorings};
use crate::nnunet::window::weights;
use crate::segment::{Case, SegmentOptions};

/// Runs one part of a model.
pub(crate) struct PartRunner<'a> {
    case: &'a Case<'a>,
    model: &'a Model,
    part: &'a Part,
    /// The share of the whole progress that is this part's: where it begins and how much it is.
    progress: [f64; 2],
}

/// A part and how it is run.
#[derive(Clone, Copy)]
struct Settings<'a> {
    part: &'a Part,
    options: &'a SegmentOptions<'a>,
}

/// One row of patches: all that begin at the same plane.
#[derive(Clone, Copy)]
struct RowOfPatches<'a> {
    row: usize,
    fold: usize,
    tiling: &'a Tiling,
    /// The weight of each voxel of a patch.
    kernel: &'a [f32],
}

/// Where finished planes go.
struct Outgoing<'a> {
    exporter: Exporter<'a>,
    logits_file: Option<NpyFile>,
    grid: Grid2,
}

impl<'a> PartRunner<'a> {
    pub(crate) fn new(case: &'a Case<'a>, model: &'a Model, part: &'a Part) -> Self {
        Self {
            case,
            model,
            part,
            progress: [0.0, 1.0],
        }
    }

    fn settings(&self) -> Settings<'a> {
        Settings {
            part: self.part,
            options: self.case.options,
        }
    }

    /// Tells its progress as a share of a longer work: `[begin, length]`.
    pub(crate) fn within(mut self, progress: [f64; 2]) -> Self {
        self.progress = progress;
        self
    }

    /// Segments `images`, one for each input channel on one grid, and merges what is found into
    /// `merged` at the target's voxels.
    pub(crate) fn run(
        &self,
        images: &[&Volume<f32>],
        target: &Target,
        merged: &mut Merged,
    ) -> Result<(), ModelError> {
        let held_bytes = self.bytes_of_images(images) + merged.bytes();
        self.require_memory(images, held_bytes)?;
        let input = self.preprocess(images)?;
        self.case.cancel.check()?;
        self.predict(&input, target, merged, held_bytes)
    }

    /// Memory of the case's image and of those that were made of it.
    fn bytes_of_images(&self, images: &[&Volume<f32>]) -> u64 {
        let made = images
            .iter()
            .filter(|i| !std::ptr::eq(**i, self.case.image));
        let n_voxels: usize = made.map(|image| image.values().len()).sum();
        4 * (n_voxels + self.case.image.values().len()) as u64
    }

    /// Refuses a limit that not even the way to the network's grid keeps.
    fn require_memory(&self, images: &[&Volume<f32>], held_bytes: u64) -> Result<(), ModelError> {
        let (Some(allowed_bytes), Some(image)) = (self.case.options.max_ram_bytes, images.first())
        else {
            return Ok(());
        };
        let geometry = Geometry::largest(self.part, image.grid());
        if held_bytes + self.settings().bytes_of_preprocessing(&geometry) <= allowed_bytes {
            return Ok(());
        }
        let (model, part, options) = (self.model, self.part, self.case.options);
        Err(ModelError::Memory {
            model: model.manifest().name.clone(),
            needed_bytes: predict_bytes(model, part, image.grid(), options, held_bytes)?,
            allowed_bytes,
        })
    }

    /// The network's input. The images must hold finite numbers only.
    pub(crate) fn preprocess(&self, images: &[&Volume<f32>]) -> Result<Preprocessed, ModelError> {
        require_channels(self.model, self.part, images.len())?;
        let input = Preprocessed::of(self.part, images).map_err(|reason| ModelError::Image {
            model: self.model.manifest().name.clone(),
            reason,
        })?;
        if let Some(folder) = &self.case.options.intermediate {
            let [n0, n1, n2] = input.shape();
            let channels = self.part.channels.len();
            let path = folder.join(self.file_name("preprocessed"));
            let mut file = NpyFile::create(&path, [channels, n0, n1, n2])?;
            for (n, plane) in input.values.chunks_exact(n1 * n2).enumerate() {
                file.write([n / n0, n % n0, 0], plane.iter().copied())?;
            }
        }
        Ok(input)
    }

    /// Runs the network over all patches. Images and answer hold so much memory.
    fn predict(
        &self,
        input: &Preprocessed,
        target: &Target,
        merged: &mut Merged,
        held_bytes: u64,
    ) -> Result<(), ModelError> {
        let tiling = self.settings().tiling(input.shape());
        let places = Places::of(target, &input.geometry, self.orders(&input.geometry));
        places.doubt_outside(merged);
        let grid = self.settings().grid2(&tiling);
        let precision = self.settings().precision();
        let (heads, isa) = (&self.part.heads, self.case.options.isa);
        let isa = isa.unwrap_or_else(Isa::detect);
        let mut outgoing = Outgoing {
            exporter: Exporter::new(heads, (precision, isa), grid, tiling.shape[0], places),
            logits_file: self.logits_file(&tiling)?,
            grid,
        };
        let mut sums = Sums::new(grid.layout, precision, self.part.folds.len());
        let kernel = weights(tiling.patch);
        let others_bytes =
            held_bytes + self.settings().bytes_of_sums(&tiling) + 4 * input.values.len() as u64;
        let mut engine = self.load(0, others_bytes)?;
        (self.model).require_self_test(
            &self.part.self_test,
            engine.network(),
            self.case.options.threads,
        )?;
        let mut workspace = engine.workspace(self.model)?;
        let mut loaded = 0;
        let last = tiling.starts[0].len() - 1;
        for row in 0..=last {
            sums.extend_to(tiling.starts[0][row] + tiling.patch[0]);
            for fold in 0..self.part.folds.len() {
                if fold != loaded {
                    drop(engine);
                    engine = self.load(fold, others_bytes)?;
                    loaded = fold;
                }
                let place = RowOfPatches {
                    row,
                    fold,
                    tiling: &tiling,
                    kernel: &kernel,
                };
                self.run_row(place, (&engine, &mut workspace), input, &sums)?;
            }
            if row < last {
                self.hand_on(row, &tiling, &mut sums, &mut outgoing, merged)?;
            }
        }
        // The network's memory goes back to the system while the rest of the answer is made.
        drop((engine, workspace));
        self.hand_on(last, &tiling, &mut sums, &mut outgoing, merged)
    }

    /// Hands on the planes that are finished with a row of patches.
    fn hand_on(
        &self,
        row: usize,
        tiling: &Tiling,
        sums: &mut Sums,
        outgoing: &mut Outgoing<'_>,
        merged: &mut Merged,
    ) -> Result<(), ModelError> {
        let is_last = row + 1 == tiling.starts[0].len();
        for padded in tiling.finished_planes(row) {
            let plane = sums.release().ok_or_else(|| ModelError::Overflow {
                model: self.model.manifest().name.clone(),
            })?;
            let inside = (padded.checked_sub(tiling.before[0])).filter(|p| *p < tiling.shape[0]);
            let used = match inside {
                Some(index) => outgoing.push(index, plane, merged)?,
                None => Some(plane),
            };
            // Behind the last row the memory goes back to the system while the answer grows.
            if let Some(used) = used.filter(|_| !is_last) {
                sums.recycle(used);
            }
            self.case.cancel.check()?;
        }
        Ok(())
    }

    /// Runs every patch of a row, each with all its mirrored passes.
    fn run_row(
        &self,
        place: RowOfPatches<'_>,
        (engine, workspace): (&Engine, &mut Workspace),
        input: &Preprocessed,
        sums: &Sums,
    ) -> Result<(), ModelError> {
        let RowOfPatches {
            row,
            fold,
            tiling,
            kernel,
        } = place;
        let failed = ModelError::network(&self.model.manifest().name);
        let passes = self.settings().passes();
        let [p0, p1, p2] = tiling.patch;
        let mut patch = vec![0.0_f32; self.part.channels.len() * p0 * p1 * p2];
        let total = (tiling.n_patches() * passes.len() * self.part.folds.len()) as f64;
        let mut done = ((row * self.part.folds.len() + fold)
            * tiling.starts[1].len()
            * tiling.starts[2].len()
            * passes.len()) as f64;
        let (accumulator, counts) = sums.of_fold(fold);
        let is_canceled = || self.case.cancel.is_requested();
        let mut mirrored =
            MirroredPatch::new(sums.precision == Precision::Half && passes.len() > 1, p0);
        for s1 in &tiling.starts[1] {
            for s2 in &tiling.starts[2] {
                let start = [tiling.starts[0][row], *s1, *s2];
                let contribute = |d0: usize, logits: &[f32], contribution: Contribution<'_>| {
                    accumulator.add(
                        start[0] + d0,
                        &Contribution {
                            logits,
                            weights: &kernel[d0 * p1 * p2..(d0 + 1) * p1 * p2],
                            ..contribution
                        },
                    );
                };
                let plain = Contribution {
                    logits: &[],
                    weights: &[],
                    patch: [p1, p2],
                    at: [*s1, *s2],
                    flipped: [false; 2],
                    share: 1.0,
                    counts,
                };
                for (pass, flipped) in passes.iter().enumerate() {
                    tiling.cut(&input.values, start, *flipped, &mut patch);
                    let before = done;
                    let progress = |fraction: f64| {
                        let [begin, length] = self.progress;
                        let fraction = (before + fraction) / total;
                        self.case.progress.fraction(begin + length * fraction);
                    };
                    let control = RunControl {
                        threads: self.case.options.threads,
                        cancel: &is_canceled,
                        progress: &progress,
                    };
                    let share = 1.0 / passes.len() as f32;
                    let take = |d0: usize, logits: &[f32]| {
                        let d0 = if flipped[0] { p0 - 1 - d0 } else { d0 };
                        let flipped = [flipped[1], flipped[2]];
                        if mirrored.is_used {
                            mirrored.add(d0, logits, [p1, p2], flipped, pass == 0);
                        } else {
                            let contribution = Contribution {
                                flipped,
                                share,
                                counts: counts && pass == 0,
                                ..plain
                            };
                            contribute(d0, logits, contribution);
                        }
                    };
                    (engine.run(workspace, &patch, &take, &control)).map_err(&failed)?;
                    done += 1.0;
                }
                if mirrored.is_used {
                    let n_passes = passes.len() as f32;
                    mirrored.take(n_passes, &|d0, logits| contribute(d0, logits, plain));
                }
            }
        }
        Ok(())
    }

    /// Spline orders of the way back, along the tensor's axes.
    fn orders(&self, geometry: &Geometry) -> [u8; 3] {
        let resampling = self.part.logits_resampling;
        let apart = separate_axis(resampling, self.part.spacing_mm, geometry.spacing_mm);
        [0, 1, 2].map(|a| {
            if apart == Some(a) {
                resampling.order_z
            } else {
                resampling.order
            }
        })
    }

    fn load(&self, fold: usize, others_bytes: u64) -> Result<Engine, ModelError> {
        let budget = Budget {
            allowed_bytes: self.case.options.max_ram_bytes,
            others_bytes,
        };
        let (model, part) = (self.model, self.part);
        Engine::load(model, part, &part.folds[fold], self.case.options, budget)
    }

    fn logits_file(&self, tiling: &Tiling) -> Result<Option<NpyFile>, ModelError> {
        let Some(folder) = &self.case.options.intermediate else {
            return Ok(None);
        };
        let [n0, n1, n2] = tiling.shape;
        let channels = self.part.heads.values().len();
        let path = folder.join(self.file_name("logits"));
        NpyFile::create(&path, [channels, n0, n1, n2]).map(Some)
    }

    /// `logits.npy`; of a model of several parts `logits_291.npy`.
    fn file_name(&self, what: &str) -> String {
        let n_parts = self.model.manifest().recipe.weights().len() / self.part.folds.len().max(1);
        if n_parts > 1 {
            format!("{what}_{}.npy", self.part.id)
        } else {
            format!("{what}.npy")
        }
    }
}

/// Most memory that a run of a part takes on an image of this grid, if nothing limits it; images and
/// answer hold `held_bytes` of it.
pub(crate) fn predict_bytes(
    model: &Model,
    part: &Part,
    image: &Grid,
    options: &SegmentOptions<'_>,
    held_bytes: u64,
) -> Result<u64, ModelError> {
    let geometry = Geometry::largest(part, image);
    let settings = Settings { part, options };
    let tiling = settings.tiling(geometry.shape);
    let n_voxels: usize = geometry.shape.iter().product();
    let input = 4 * (n_voxels * part.channels.len()) as u64;
    let others_bytes = held_bytes + settings.bytes_of_sums(&tiling) + input;
    let budget = Budget {
        allowed_bytes: None,
        others_bytes,
    };
    let engine = Engine::load(model, part, &part.folds[0], options, budget)?;
    let running = others_bytes + engine.bytes();
    Ok(running.max(held_bytes + settings.bytes_of_preprocessing(&geometry)))
}

/// Refuses images that the part's channels do not fit.
pub(crate) fn require_channels(
    model: &Model,
    part: &Part,
    n_images: usize,
) -> Result<(), ModelError> {
    if part.channels.len() == n_images {
        return Ok(());
    }
    let names: Vec<&str> = part.channels.iter().map(|c| c.name.as_str()).collect();
    Err(ModelError::Channels {
        model: model.manifest().name.clone(),
        expected: part.channels.len(),
        names: names.join(", "),
        found: n_images,
    })
}

impl Settings<'_> {
    /// The sets of mirrored axes that are run.
    fn passes(&self) -> Vec<[bool; 3]> {
        if self.options.mirroring {
            mirrorings(&self.part.mirror_axes)
        } else {
            mirrorings(&[])
        }
    }

    fn precision(&self) -> Precision {
        if self.options.compat {
            Precision::Half
        } else {
            Precision::Single
        }
    }

    fn tiling(&self, shape: [usize; 3]) -> Tiling {
        let step = self.options.step.unwrap_or(self.part.step);
        Tiling::new(shape, self.part.patch_size, step)
    }

    fn grid2(&self, tiling: &Tiling) -> Grid2 {
        let channels = self.part.heads.values().len();
        Grid2 {
            layout: PlaneLayout {
                channels,
                height: tiling.padded[1],
                width: tiling.padded[2],
            },
            channels,
            height: tiling.shape[1],
            width: tiling.shape[2],
            before: [tiling.before[1], tiling.before[2]],
        }
    }

    /// Memory on the way to the network's grid: planes between the image's grid and the network's, a
    /// mask where one is needed, and the input.
    fn bytes_of_preprocessing(&self, geometry: &Geometry) -> u64 {
        let [n0, n1, n2] = geometry.shape;
        let from = geometry.crop.shape();
        let is_masked = self.part.channels.iter().any(|channel| channel.use_mask);
        // Inside, outside and the voxels gathered for the mean.
        let mask = if is_masked {
            6 * from.iter().product::<usize>()
        } else {
            0
        };
        let planes = 4 * from.iter().max().unwrap_or(&0) * n1.max(n0) * n2.max(n1);
        let input = 4 * self.part.channels.len() * n0 * n1 * n2;
        (planes + mask + input) as u64
    }

    /// Memory of the sums and of one patch.
    fn bytes_of_sums(&self, tiling: &Tiling) -> u64 {
        let layout = self.grid2(tiling).layout;
        let patch: usize = tiling.patch.iter().product();
        let compat = self.precision() == Precision::Half;
        let folds = if compat { self.part.folds.len() } else { 1 };
        // Two more planes wait for their neighbors to be exported.
        let planes = (tiling.patch[0] + 2) * folds;
        let plane = 4 * (layout.len() + layout.height * layout.width);
        let mirrored = if compat && self.passes().len() > 1 {
            4 * patch * layout.blocks() * 8
        } else {
            0
        };
        (planes * plane + mirrored + 4 * patch * (1 + self.part.channels.len())) as u64
    }
}

impl Outgoing<'_> {
    /// Takes the next plane and gives back memory that is not needed any more.
    fn push(
        &mut self,
        index: usize,
        plane: Vec<f32>,
        merged: &mut Merged,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        if let Some(file) = &mut self.logits_file {
            write_plane(file, index, &plane, self.grid)?;
        }
        Ok(self.exporter.push(plane, merged))
    }
}

fn write_plane(
    file: &mut NpyFile,
    index: usize,
    plane: &[f32],
    grid: Grid2,
) -> Result<(), ModelError> {
    for channel in 0..grid.channels {
        let block = channel / 8 * grid.block_stride() + channel % 8;
        let values = (0..grid.height).flat_map(|row| {
            (0..grid.width).map(move |column| plane[block + grid.offset(row, column)])
        });
        file.write([channel, index, 0], values)?;
    }
    Ok(())
}

//! Series on disk to volumes and back to SEG: synthetic series with every fault, and real scans.

#[cfg(test)]
mod shared_data;
#[cfg(test)]
mod scan;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod choosing;
#[cfg(test)]
mod stacks;
#[cfg(test)]
mod multiframe;
#[cfg(test)]
mod archives;
#[cfg(test)]
mod segmentation;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod irregular;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod real_scans;

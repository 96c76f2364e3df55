//! Reads the series that a folder holds into a volume and says how long that took: the bench of
//! `benches/peers/load.py`.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use prosect_base::{Cancel, Limits, Silent};
use prosect_dicom::{Choice, choose_series, inspect, load_series};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give a folder")?;
    let (limits, cancel) = (Limits::default(), Cancel::new());
    let start = Instant::now();
    let inventory = inspect(Path::new(&path), &limits, &Silent, &cancel)?;
    let listed = start.elapsed();
    let series = choose_series(&inventory, &Choice::default())?;
    let image = load_series(series, &limits, &Silent, &cancel)?.image;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:?} listed {:.3} s, loaded {:.3} s, sum {}",
        image.grid().shape(),
        listed.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        image.values().iter().map(|&v| f64::from(v)).sum::<f64>()
    )?;
    Ok(())
}

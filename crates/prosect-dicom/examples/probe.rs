//! probe
#![allow(clippy::all, clippy::pedantic, clippy::restriction, missing_docs)]
use prosect_base::*;
use prosect_dicom::*;
use std::path::Path;
use std::time::Instant;
fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap();
    let uid = args.next();
    let t = Instant::now();
    let inv = match inspect(
        Path::new(&path),
        &Limits::default(),
        &Silent,
        &Cancel::new(),
    ) {
        Ok(i) => i,
        Err(e) => {
            println!("ERR {e} [{:?}]", e.fault());
            return;
        }
    };
    println!("inspect {:?}", t.elapsed());
    for s in inv.studies.iter() {
        println!("study {} {}", s.uid, s.description);
    }
    for l in &inv.left_out {
        println!(
            "left out: {} {} {:?} {:?}",
            l.label, l.reason, l.kind, l.series_uid
        );
    }
    let choice = Choice {
        series_uid: uid.as_deref(),
        modalities: if uid.is_some() { &[] } else { &["CT"] },
    };
    for v in judge_series(&inv, &choice) {
        let s = v.series;
        println!(
            "{} {} {:?} n={} slices={} {:?} {:?} ext {:?} {:?} {:?} {:?} scout={} aside={} obst={:?}\n   fits={} score={:.1} {}",
            s.uid,
            s.modality,
            s.description,
            s.n_instances,
            s.n_slices,
            s.shape,
            s.spacing_mm,
            s.extent_mm,
            s.orientation,
            s.transfer_syntaxes,
            s.sop_classes,
            s.scout,
            s.aside.len(),
            s.obstacle,
            v.fits,
            v.score,
            v.reason
        );
    }
    let chosen = choose_series(&inv, &choice);
    match &chosen {
        Ok(s) => println!("chosen {}", s.uid),
        Err(e) => println!("ERR {e} hint {:?}", e.hint()),
    }
    let all: Vec<&Series> = match chosen {
        Ok(s) => vec![s],
        Err(_) => inv.series().collect(),
    };
    for s in all {
        let t = Instant::now();
        match load_series(s, &Limits::default(), &Silent, &Cancel::new()) {
            Ok(i) => {
                let v = i.image.values();
                if let Ok(p) = std::env::var("DUMP") {
                    std::fs::write(
                        &p,
                        v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(),
                    )
                    .unwrap();
                    std::fs::write(
                        p + ".uids",
                        i.frames
                            .iter()
                            .map(|f| f.sop_instance_uid.clone())
                            .collect::<Vec<_>>()
                            .join("\n"),
                    )
                    .unwrap();
                }
                let sum: f64 = v.iter().map(|x| f64::from(*x)).sum();
                let mx = v.iter().fold(f32::MIN, |a, b| a.max(*b));
                let mn = v.iter().fold(f32::MAX, |a, b| a.min(*b));
                if let Ok(p) = std::env::var("SEG") {
                    seg(&i, &p);
                }
                println!(
                    "loaded {:?} shape {:?} sum {sum} min {mn} max {mx} findings {:?} notes {:?}",
                    t.elapsed(),
                    i.image.grid().shape(),
                    i.findings,
                    i.notes
                );
            }
            Err(e) => println!("LOAD ERR {e} [{:?}]", e.fault()),
        }
    }
}

fn seg(i: &ImageSeries, path: &str) {
    use prosect_segmentation::*;
    use prosect_volume::*;
    let g = i.image.grid().clone();
    let [a, b, c] = g.shape();
    let map = Volume::from_fn(g, |v| {
        let (x, y, z) = (
            v.i as f64 / a as f64,
            v.j as f64 / b as f64,
            v.k as f64 / c as f64,
        );
        if (x - 0.3).powi(2) + (y - 0.4).powi(2) * 2.0 + (z - 0.55).powi(2) < 0.04 {
            3u16
        } else if (x - 0.7).abs() + (y - 0.6).abs() + (z - 0.3).abs() < 0.12 {
            7
        } else {
            0
        }
    });
    let alg = Algorithm {
        name: "prosect liver-ct".into(),
        version: "1.0".into(),
        weights_sha256: "ab".repeat(32),
        source:
            "KU Leuven, pyliverlesionseg 0.3, https://example.org/a/very/long/address/indeed/to/it"
                .into(),
    };
    let s = |label_value, name: &str| Segment {
        label_value,
        layer: 0,
        structure: terminology::structure(name).unwrap(),
        algorithm_type: AlgorithmType::Automatic,
        algorithm: Some(alg.clone()),
    };
    std::fs::write(
        format!("{path}.raw"),
        map.values()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
    .unwrap();
    let sg = Segmentation::new(
        vec![map],
        vec![s(3, "liver"), s(7, "kidney_left"), s(9, "spleen")],
    )
    .unwrap();
    let t = Instant::now();
    let mut f = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let r = write_seg(
        &sg,
        i,
        &SegOptions {
            software_version: "0.1.0".into(),
            series_number: 1000,
            content: None,
        },
        &mut f,
    )
    .unwrap();
    println!("SEG {:?} {r:?}", t.elapsed());
}
